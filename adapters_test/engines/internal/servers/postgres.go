package servers

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

var postgres = engine{
	name:     "PostgreSQL",
	variable: "SESSIONS_TEST_POSTGRES",
	example:  "postgres://user:password@127.0.0.1:5432/database",
	packages: "postgresql",
	launch:   launchPostgres,
}

// Postgres returns a PostgreSQL whose tables are the tests' own. A private one
// acknowledges a commit when the operating system has it: that survives the
// death of the server, not of the machine.
func Postgres(t testing.TB) *Server {
	t.Helper()
	return postgres.get(t)
}

func launchPostgres(dir string) (*Server, error) {
	const where = "/usr/lib/postgresql/*/bin"
	initdb, err := find("initdb", where)
	if err != nil {
		return nil, err
	}
	server, err := find("postgres", where)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir, "postgres")
	if err != nil {
		return nil, err
	}
	data, log := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	err = prepare(command{path: initdb, dir: dir, user: who, log: log, args: []string{
		"-D", data, "-U", "sessions", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"}})
	if err != nil {
		return nil, err
	}
	s := &Server{
		url: "postgres:///postgres?" + url.Values{"host": {dir}, "user": {"sessions"}}.Encode(),
		command: command{path: server, dir: dir, user: who, log: log, args: []string{
			"-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"}},
	}
	s.ready = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			err = conn.Close(ctx)
		}
		return err
	}
	s.cut = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
		return errors.Join(err, conn.Close(ctx))
	}
	return s, nil
}
