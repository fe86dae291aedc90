package engines

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/storeurl"
)

// Feature P1: one call opens every store, from a URL alone, and the manager does
// the rest.
func TestStoreURL(t *testing.T) {
	for name, of := range map[string]func(t *testing.T) string{
		"SQLite": func(t *testing.T) string {
			return "sqlite://" + filepath.Join(t.TempDir(), "a.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(100)&table=" + newTable()
		},
		"PostgreSQL": func(t *testing.T) string { return servers.Postgres(t).URL() + "&table=" + newTable() },
		"MariaDB": func(t *testing.T) string {
			cfg, err := mysql.ParseDSN(servers.MariaDB(t).URL())
			if err != nil {
				t.Fatal(err)
			}
			u := url.URL{Scheme: "mysql", User: url.UserPassword(cfg.User, cfg.Passwd), Path: "/" + cfg.DBName}
			q := url.Values{"table": {newTable()}}
			if cfg.Net == "unix" {
				q.Set("socket", cfg.Addr)
			} else {
				u.Host = cfg.Addr
			}
			u.RawQuery = q.Encode()
			return u.String()
		},
		"Redis": func(t *testing.T) string {
			u, err := url.Parse(redisSpec(t).DSN)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Set("prefix", newTable())
			if u.Scheme == "unix" {
				u.Scheme = "redis"
				q.Set("socket", u.Path)
				u.Path = "/0"
			}
			u.RawQuery = q.Encode()
			return u.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, text := t.Context(), of(t)
			secrets := []core.Secret{core.GenerateSecret()}
			open := func() *core.Manager {
				store, err := storeurl.Open(ctx, text)
				if err != nil {
					t.Fatal(err)
				}
				return core.MustNew(core.Config{Store: store, Secrets: secrets, RequireShared: true})
			}
			a, b := open(), open()
			defer b.Close()
			for _, err := range []error{a.Migrate(ctx), a.Check(ctx)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			defer func() {
				if err := b.Drop(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, errors.ErrUnsupported) {
					t.Error(err)
				}
			}()
			rec := newRecord(1, "ann")
			if err := a.Store().Create(ctx, rec); err != nil {
				t.Fatal(err)
			}
			defer b.Revoke(context.WithoutCancel(ctx), rec.ID)
			if infos, err := b.UserSessions(ctx, "ann"); err != nil || len(infos) != 1 {
				t.Errorf("the sessions of a user in another process: %v, %v", infos, err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err := a.Store().Load(ctx, rec.ID); err == nil {
				t.Error("the connections outlive Close")
			}
			if _, err := b.Store().Load(ctx, rec.ID); err != nil {
				t.Errorf("Close of one ends another: %v", err)
			}
		})
	}
}

// Fails if what a driver says of its configuration passes as it is.
func TestStoreURLIsQuiet(t *testing.T) {
	for _, text := range []string{
		"postgres://user:S3cr%20et@127.0.0.1:1/app",
		"postgres://user:S3cr%20et@127.0.0.1:1/app?sslmode=odd",
		"postgres://user:S3cr%20et@127.0.0.1:1/app?sslrootcert=/no/such/file&sslmode=verify-full",
		"mysql://user:S3cr%20et@127.0.0.1:1/app",
		"mysql://user:S3cr%20et@127.0.0.1:1/app?tls=odd",
		"mysql://user:S3cr%20et@127.0.0.1:1/app?parseTime=odd",
		"redis://user:S3cr%20et@127.0.0.1:1?prefix=a",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		store, err := storeurl.Open(ctx, text)
		cancel()
		if err == nil || store != nil || strings.Contains(err.Error(), "S3cr") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
