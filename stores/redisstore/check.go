package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Check asks each primary whether it can keep sessions, for a program to call
// when it starts: whether it answers, whether it is Redis 6.2 or later (Valkey
// always is), and whether it would throw sessions out when its memory is full.
// It needs the commands INFO and ROLE.
func (s *Store) Check(ctx context.Context) error {
	nodes, err := s.primaries(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, node := range nodes {
		info := map[string]string{}
		for _, section := range []string{"server", "memory"} {
			answer, err := s.do(ctx, node, node.B().Arbitrary("INFO").Args(section).Build())
			if err != nil {
				return failure(ctx, err)
			}
			text, err := answer.ToString()
			if err != nil {
				return failure(ctx, err)
			}
			for line := range strings.Lines(text) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
					info[name] = value
				}
			}
		}
		problems = append(problems, unfit(info)...)
	}
	return errors.Join(problems...)
}

// unfit says what speaks against a server with this INFO.
func unfit(info map[string]string) []error {
	var out []error
	var major, minor int
	version := info["redis_version"]
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 2 {
		out = append(out, fmt.Errorf("redisstore: the server is version %q; 6.2 or later is needed", version))
	}
	if policy := info["maxmemory_policy"]; info["maxmemory"] != "0" && policy != "noeviction" {
		out = append(out, fmt.Errorf("redisstore: maxmemory-policy is %q, which ends sessions in use when memory is full; set noeviction", policy))
	}
	return out
}
