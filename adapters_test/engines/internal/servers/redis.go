package servers

import (
	"context"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/redis/rueidis"
)

var redis = engine{
	name:     "Redis",
	variable: "SESSIONS_TEST_REDIS",
	example:  "redis://127.0.0.1:6379",
	packages: "redis-server",
	launch:   launchRedis,
}

// Redis returns a Redis or Valkey. A private one acknowledges a write when its
// log on the disk has it, with appendfsync always.
func Redis(t testing.TB) *Server {
	t.Helper()
	return redis.get(t)
}

func findRedis() (string, error) {
	if path, err := find("redis-server"); err == nil {
		return path, nil
	}
	return find("valkey-server")
}

func launchRedis(dir string) (*Server, error) {
	server, err := findRedis()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "socket")
	s := &Server{
		url: (&url.URL{Scheme: "unix", Path: socket}).String(),
		command: command{path: server, dir: dir, log: filepath.Join(dir, "log"), args: []string{
			"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"}},
	}
	s.ready = func(ctx context.Context) error {
		_, err := tell(ctx, s.url, "PING") // an error while it reads its log
		return err
	}
	s.cut = func(ctx context.Context) error {
		_, err := tell(ctx, s.url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		return err
	}
	return s, nil
}

// tell runs one command on the server of a URL, whatever that is part of, and
// returns the answer if it is text.
func tell(ctx context.Context, url string, words ...string) (string, error) {
	option, err := rueidis.ParseURL(url)
	if err != nil {
		return "", err
	}
	option.ForceSingleClient, option.DisableCache = true, true
	client, err := rueidis.NewClient(option)
	if err != nil {
		return "", err
	}
	defer client.Close()
	answer := client.Do(ctx, client.B().Arbitrary(words...).Build())
	text, err := answer.ToString()
	if rueidis.IsParseErr(err) {
		err = nil // a number, say
	}
	return text, err
}
