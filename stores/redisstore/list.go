package redisstore

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// batch is how many keys are asked for at a time.
const batch = 128

// List yields the live records, in the order of SCAN, node after node. It is
// for administration: it goes through every key of the servers, those of other
// applications included, and remembers every ID that it has seen, since SCAN
// may show a key twice.
func (s *Store) List(ctx context.Context) iter.Seq2[core.Record, error] {
	return func(yield func(core.Record, error) bool) {
		seen := map[core.ID]struct{}{}
		stopped := false
		err := s.scan(ctx, func(ids []core.ID) (bool, error) {
			ids = slices.DeleteFunc(ids, func(id core.ID) bool {
				_, again := seen[id]
				seen[id] = struct{}{}
				return again
			})
			now := s.clock()
			err := s.loadAll(ctx, ids, func(_ core.ID, env envelope, err error) bool {
				if err == nil && !env.expired(now) {
					stopped = !yield(env.rec, nil)
				}
				return !stopped
			})
			return !stopped, err
		})
		if err != nil && !stopped {
			yield(core.Record{}, err)
		}
	}
}

// scan goes through the IDs in all records' keys until visit says false.
func (s *Store) scan(ctx context.Context, visit func([]core.ID) (bool, error)) error {
	head := s.prefix + ":s:"
	pattern := globEscaper.Replace(head) + "*"
	nodes, err := s.primaries(ctx)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		for cursor := uint64(0); ; {
			// Not B().Scan, which the client would repeat for as long as
			// the server is down.
			cmd := node.B().Arbitrary("SCAN").Args(strconv.FormatUint(cursor, 10), "MATCH", pattern, "COUNT", "512").Build()
			answer, err := s.do(ctx, node, cmd)
			if err != nil {
				return failure(ctx, err)
			}
			page, err := answer.AsScanEntry()
			if err != nil {
				return failure(ctx, err)
			}
			ids := make([]core.ID, 0, len(page.Elements))
			for _, key := range page.Elements {
				if id, err := core.ParseID(strings.TrimPrefix(key, head)); err == nil {
					ids = append(ids, id)
				}
			}
			if more, err := visit(ids); err != nil || !more {
				return err
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// primaries returns a client for each node that is not a replica.
func (s *Store) primaries(ctx context.Context) ([]rueidis.Client, error) {
	var out []rueidis.Client
	for _, node := range s.client.Nodes() {
		answer, err := s.do(ctx, node, node.B().Arbitrary("ROLE").Build())
		if err != nil {
			return nil, failure(ctx, err)
		}
		role, err := answer.ToArray()
		if err != nil {
			return nil, failure(ctx, err)
		}
		if len(role) == 0 {
			return nil, failure(ctx, errAnswer)
		}
		if name, _ := role[0].ToString(); name == "master" {
			out = append(out, node)
		}
	}
	return out, nil
}

// loadAll loads records, in batches, until visit says false. A record that is
// absent or corrupt is visited with that error; any other error ends it.
func (s *Store) loadAll(ctx context.Context, ids []core.ID, visit func(core.ID, envelope, error) bool) error {
	for chunk := range slices.Chunk(ids, batch) {
		cmds := make(rueidis.Commands, len(chunk))
		for i, id := range chunk {
			cmds[i] = s.get(id)
		}
		answers, err := call(ctx, s, func() []rueidis.RedisResult { return s.client.DoMulti(ctx, cmds...) })
		if err != nil {
			return failure(ctx, err)
		}
		for i, answer := range answers {
			message, err := answer.ToMessage()
			env, err := open(chunk[i], message, err)
			if err != nil && !errors.Is(err, core.ErrNotFound) && !errors.Is(err, core.ErrCorrupt) {
				return failure(ctx, err)
			}
			if !visit(chunk[i], env, err) {
				return nil
			}
		}
	}
	return nil
}
