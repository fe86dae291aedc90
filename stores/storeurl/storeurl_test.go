package storeurl

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// fakeDriver stands for the drivers that a program imports. It notes what it is
// asked for, and refuses the database of the name "down", quoting all it knows.
type fakeDriver struct {
	mu     sync.Mutex
	dsn    string
	closed int
}

var drivers = map[string]*fakeDriver{}

func init() {
	for _, name := range []string{"mysql", "postgres", "sqlite3", "other"} {
		drivers[name] = &fakeDriver{}
		sql.Register(name, drivers[name])
	}
}

func (d *fakeDriver) Open(dsn string) (driver.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dsn = dsn
	if strings.Contains(dsn, "down") {
		return nil, fmt.Errorf("cannot connect with %s: %w", dsn, io.ErrUnexpectedEOF)
	}
	return fakeConn{d}, nil
}

type fakeConn struct{ d *fakeDriver }

func (fakeConn) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions") }
func (fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("no statements") }
func (c fakeConn) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.closed++
	return nil
}

func open(t *testing.T, url string) core.Store {
	t.Helper()
	store, err := Open(t.Context(), url)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	if c, ok := store.(io.Closer); ok {
		t.Cleanup(func() { c.Close() })
	}
	return store
}

// Feature P1. Fails if a parameter does not reach its store.
func TestMemory(t *testing.T) {
	if _, ok := open(t, "memory://").(*memorystore.Store); !ok {
		t.Error("memory:// is no memory store")
	}
	store := open(t, "memory://?max_sessions=1&sweep_interval=1h")
	rec := func(i byte) core.Record {
		return core.Record{ID: core.ID{i}, Version: 1, User: "ann", ExpiresAt: time.Now().Add(time.Hour)}
	}
	if err := store.Create(t.Context(), rec(1)); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), rec(2)); !errors.Is(err, core.ErrFull) {
		t.Errorf("the second session of at most one: %v", err)
	}
	small := open(t, "memory://?max_bytes=400")
	big := rec(1)
	big.Values = make([]byte, 1000)
	if err := small.Create(t.Context(), big); !errors.Is(err, core.ErrFull) {
		t.Errorf("a session of 1000 bytes in 400: %v", err)
	}
}

// Fails if the path or a parameter does not reach the store.
func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b@c", "d%e")
	escaped := strings.NewReplacer("%", "%25", " ", "%20").Replace(dir)
	if _, err := Open(t.Context(), "file://"+escaped); !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory that does not exist: %v", err)
	}
	if _, ok := open(t, "file://"+escaped+"?create=1&no_sync=true&sweep_interval=10m").(*filestore.Store); !ok {
		t.Error("file:// is no file store")
	}
	if _, err := os.Stat(filepath.Join(dir, "records")); err != nil {
		t.Error(err)
	}
	open(t, "file://"+escaped)
}

// Fails if a driver gets something else than it understands, or our parameters.
func TestDSN(t *testing.T) {
	for _, tc := range []struct{ url, driver, dsn string }{
		{"postgres://localhost/app", "postgres", "postgres://localhost/app"},
		{"postgresql://u@h:1/app?sslmode=disable&table=s&x=a%20b", "postgres", "postgres://u@h:1/app?sslmode=disable&x=a%20b"},
		{"POSTGRES://u:p%40%3a%2F@[::1]:1/a%2Fb?max_conns=3", "postgres", "postgres://u:p%40%3A%2F@[::1]:1/a%2Fb"},
		{"postgres://?host=/run/postgresql", "postgres", "postgres:///?host=/run/postgresql"},
		{"postgres://:p@h/app", "postgres", "postgres://:p@h/app"},
		{"mysql://localhost/app", "mysql", "tcp(localhost:3306)/app"},
		{"mariadb://u:p%40%3a%2F@[::1]:1/a%2Fb?tls=true&loc=US/Pacific&table=s", "mysql", "u:p@:/@tcp([::1]:1)/a%2Fb?tls=true&loc=US%2FPacific"},
		{"mysql://u@/app", "mysql", "u:@/app"},
		{"mysql://u:p@/app?socket=%2Frun/my.sock", "mysql", "u:p@unix(/run/my.sock)/app"},
		{"mysql://u@h/app?driver=other&charset=utf8mb4,utf8", "other", "u:@tcp(h:3306)/app?charset=utf8mb4,utf8"},
		{"sqlite:///a/b%3F%20c.db", "sqlite3", "file:/a/b%3F%20c.db"},
		{"sqlite:///a/b@c.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(100)&mode=rwc&sweep_interval=90s", "sqlite3",
			"file:/a/b@c.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(100)&mode=rwc"},
	} {
		store, err := Open(t.Context(), tc.url)
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		d := drivers[tc.driver]
		if d.dsn != tc.dsn {
			t.Errorf("%s: the driver gets %s, want %s", tc.url, d.dsn, tc.dsn)
		}
		for _, power := range []bool{has[core.UserLister](store), has[core.Migrator](store), has[core.Sweeper](store), has[core.Expirer](store)} {
			if !power {
				t.Errorf("%s: the store lacks a power of sqlstore", tc.url)
			}
		}
		closed := d.closed
		if err := store.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
		if d.closed != closed+1 {
			t.Errorf("%s: Close leaves the connection open", tc.url)
		}
	}
	store := open(t, "sqlite:///a.db?table=mine&max_conns=3").(*sqlStore)
	if s := store.String(); !strings.Contains(s, "mine") {
		t.Errorf("the table of %s is not mine", s)
	}
	if n := store.pool.Stats().MaxOpenConnections; n != 3 {
		t.Errorf("a pool of %d, want 3", n)
	}
	if n := open(t, "sqlite:///a.db").(*sqlStore).pool.Stats().MaxOpenConnections; n != maxConns {
		t.Errorf("a pool of %d, want %d", n, maxConns)
	}
}

func has[P interface{}](s core.Store) bool {
	_, ok := s.(P)
	return ok
}

// Fails if an option of the client is not what the URL says.
func TestRedisOptions(t *testing.T) {
	for _, tc := range []struct {
		url       string
		addrs     []string
		user, pw  string
		db        int
		master    string
		tls, name string // tls is "" or the server's name
	}{
		{url: "redis://localhost?prefix=a", addrs: []string{"localhost:6379"}},
		{url: "redis://?prefix=a", addrs: []string{"localhost:6379"}},
		{url: "redis://:p%2Fw@h:1/7?prefix=a", addrs: []string{"h:1"}, pw: "p/w", db: 7},
		{url: "redis://u:p@[::1]/?prefix=a", addrs: []string{"[::1]:6379"}, user: "u", pw: "p"},
		{url: "redis://[::1]:1?prefix=a&addr=h2:2&addr=h3", addrs: []string{"[::1]:1", "h2:2", "h3:6379"}},
		{url: "redis://u:p@s1:26379?prefix=a&addr=s2:26379&master_set=m", addrs: []string{"s1:26379", "s2:26379"}, user: "u", pw: "p", master: "m"},
		{url: "redis://:p@/3?prefix=a&socket=/run/redis", addrs: []string{"/run/redis"}, pw: "p", db: 3},
		{url: "rediss://h?prefix=a&master_set=m", addrs: []string{"h:6379"}, tls: "h", master: "m"},
		{url: "rediss://h?prefix=a", addrs: []string{"h:6379"}, tls: "h"},
	} {
		l, err := parse(tc.url)
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		opt, err := l.redis()
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		name := ""
		if opt.TLSConfig != nil {
			name = opt.TLSConfig.ServerName
		}
		got := fmt.Sprint(opt.InitAddress, opt.Username, opt.Password, opt.SelectDB, opt.Sentinel.MasterSet, name)
		want := fmt.Sprint(tc.addrs, tc.user, tc.pw, tc.db, tc.master, tc.tls)
		if got != want {
			t.Errorf("%s: %s, want %s", tc.url, got, want)
		}
		if (opt.TLSConfig != nil) != (tc.tls != "") || opt.TLSConfig != nil && opt.TLSConfig.InsecureSkipVerify {
			t.Errorf("%s: TLS is %v", tc.url, opt.TLSConfig)
		}
		if tc.master != "" && opt.Sentinel.Password != tc.pw {
			t.Errorf("%s: the Sentinels get no password", tc.url)
		}
		if opt.Sentinel.TLSConfig != opt.TLSConfig {
			t.Errorf("%s: the Sentinels are asked without TLS", tc.url)
		}
	}
}

// Feature P1: what is wrong is named, with what would be right.
// Fails if one of the refusals is left out.
func TestRefused(t *testing.T) {
	for _, tc := range []struct{ url, names string }{
		{"", "empty memory:// redis"},
		{"memory", "scheme:// memory redis"},
		{"user:secret@tcp(localhost)/app", "scheme://"},
		{"host=h password=secret", "scheme://"},
		{"pass word://localhost", "scheme://"},
		{"memory://?max_sessions=1#2", "scheme://"},
		{"memory://?max%20sessions=1", "odd"},
		{"mongodb://localhost", `"mongodb" file memory postgres redis`},
		{"memory://x", "memory third slash"},
		{"memory:///x", "path"},
		{"memory://?max_session=1", `"max_session" max_sessions max_bytes`},
		{"memory://?max_sessions=0", "max_sessions number"},
		{"memory://?max_sessions=x", "max_sessions number"},
		{"memory://?max_sessions=99999999999999999999", "max_sessions number"},
		{"memory://?max_sessions=1&max_sessions=2", "max_sessions twice"},
		{"memory://?max_sessions", "max_sessions value"},
		{"memory://?max_sessions=%zz", "max_sessions percent"},
		{"memory://?", ""},
		{"memory://?&", "known max_sessions"},
		{"memory://?=1", "known max_sessions"},
		{"memory://?sweep_interval=5", "sweep_interval 5m"},
		{"memory://?sweep_interval=-5m", "sweep_interval 5m"},
		{"memory://?sweep_interval=1ns", "sweep_interval millisecond"},
		{"file://", "directory"},
		{"file:///", "directory"},
		{"file://sessions", "third slash"},
		{"file://user@/sessions", "third slash"},
		{"file:///tmp?create=maybe", "create 1 or 0"},
		{"file:///tmp?nosync=1", "no_sync"},
		{"redis://localhost", "prefix ?prefix=shop"},
		{"redis://localhost/x?prefix=a", "number of a database"},
		{"redis://localhost/-1?prefix=a", "number of a database"},
		{"redis://localhost?prefix=a&protocol=2", `"protocol" master_set`},
		{"redis://user:pass#word@localhost?prefix=a", "scheme:// %XX"},
		{"redis://user:pass/word@localhost?prefix=a", "scheme:// %XX"},
		{"redis://user:12/word@localhost?prefix=a", "scheme:// %XX"},
		{"redis://user:12?word@localhost?prefix=a", "scheme:// %XX"},
		{"redis://user:pass%word@localhost?prefix=a", "scheme:// %XX"},
		{"sqlite://sessions.db", "third slash"},
		{"sqlite://", "file"},
		{"sqlite:///dir/", "file"},
		{"sqlite:///a.db?tabel=x", `"tabel" table driver`},
		{"sqlite:///a.db?table=a+b", "Table"},
		{"sqlite:///a.db?max_conns=0", "max_conns number"},
		{"sqlite:///a.db?driver=none", "driver sqlite3"},
		{"mysql://a%3Ab@h/app", "colon"},
		{"mysql://h/app?socket=/run/my.sock", "socket host"},
		{"redis:///0?prefix=a&socket=/run/redis&addr=h", "socket host"},
		{"redis://u:p@127.0.0.1:1?prefix=a&addr=u:S3cret%40127.0.0.1:1", "addr host"},
		{"rediss:///0?prefix=a&socket=/run/redis", "socket redis://"},
	} {
		store, err := Open(t.Context(), tc.url)
		if tc.names == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.url, err)
			}
			continue
		}
		if store != nil || !errors.Is(err, core.ErrConfig) {
			t.Errorf("%s: %v, %v", tc.url, store, err)
			continue
		}
		for word := range strings.FieldsSeq(tc.names) {
			if !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "S3cret") {
				t.Errorf("%s: %q does not mention %q, or mentions a password", tc.url, err, word)
			}
		}
	}
	// A program without a driver is told what to import.
	l, err := parse("postgres://localhost")
	if err != nil {
		t.Fatal(err)
	}
	e := postgres
	e.drivers = []string{"none"}
	if _, err := l.driver(e); !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "jackc/pgx") {
		t.Errorf("without a driver: %v", err)
	}
}

// Fails if an error of a driver passes as it is, or loses its chain.
func TestNoPasswordInErrors(t *testing.T) {
	for _, url := range []string{
		"postgres://u:S3cr%20et%2F@down/app",
		"mysql://u:S3cr%20et%2F@down/app",
		"mysql://u:S3cr%20et%2F@h/app?driver=other&x=down",
		"postgres://down/app?user=u&password=S3cr%20et%2F",
		"postgres://u:S3@down/app?sslpassword=S3cr%20et",
		"postgres://h/app?sslpassword=S3cr%20et&x=down&sslmode=disable",
		"sqlite:///down.db?_auth&_auth_user=u&_auth_pass=S3cr%20et",
		"sqlite:///down.db?_pragma_key=S3cr%20et",
		"sqlite:///down.db?_pragma=key('S3cr%20et')",
	} {
		_, err := Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "S3") || strings.Contains(err.Error(), "cr") {
			t.Errorf("%s: %v", url, err)
		}
		if !strings.Contains(fmt.Sprint(err), "xxxxx") || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want what the driver says, but for the password", url, err)
		}
	}
}

// Fails if Open does not look at its context, or waits for longer.
func TestContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, url := range []string{"memory://", "sqlite:///a.db", "redis://localhost?prefix=a"} {
		if _, err := Open(ended, url); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", url, err)
		}
	}
	// A server that accepts and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = Open(ctx, "redis://u:S3cret@"+silent.Addr().String()+"?prefix=a")
	if d := time.Since(begun); d > 4*time.Second { // the client's own patience is longer
		t.Errorf("waited for a silent server for %v", d)
	}
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "S3cret") {
		t.Errorf("a silent server: %v", err)
	}
}

// Fails if a nil pointer in an interface is handed out as a store.
func TestNoStoreBesideAnError(t *testing.T) {
	for _, url := range []string{"file:///no/such/directory", "redis://127.0.0.1:1?prefix=a", "redis://127.0.0.1:1?prefix=%7B", "sqlite:///a?table=-"} {
		store, err := Open(t.Context(), url)
		if err == nil || store != nil || reflect.ValueOf(store).IsValid() {
			t.Errorf("%s: %v, %v", url, store, err)
		}
	}
}

// The parameters that the package doc lists are those that there are.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("storeurl.go")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(doc), "package storeurl")
	for scheme, kind := range schemes {
		if !strings.Contains(text, scheme) {
			t.Errorf("the doc does not mention the scheme %s", scheme)
		}
		for _, name := range kind.params {
			if !strings.Contains(text, name) {
				t.Errorf("the doc does not mention the parameter %s", name)
			}
		}
	}
}

// FuzzParse: nothing makes it panic, an error is about the configuration, and
// what is accepted has a scheme and parameters that are known.
func FuzzParse(f *testing.F) {
	for _, url := range []string{
		"memory://", "memory://?max_sessions=1", "file:///var/lib/a%20b?create=1", "redis://u:p@h:1/0?prefix=a&addr=h2",
		"rediss://:p@[::1]?prefix=a", "postgres://u:p%40@h/app?sslmode=disable", "mysql://u@/a?loc=US/Pacific",
		"sqlite:///a.db?_pragma=busy_timeout(100)", "://", "memory://?&=&", "redis://u:p#q@h", "mongodb://h", "file://h/x",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := parse(raw)
		if err != nil {
			if l != nil || !errors.Is(err, core.ErrConfig) {
				t.Fatalf("%q: %v, %v", raw, l, err)
			}
			return
		}
		kind, ok := schemes[l.scheme]
		if !ok || !kind.server && (l.host != "" || l.user != "" || l.password != "") {
			t.Fatalf("%q: %+v", raw, l)
		}
		for name, values := range l.own {
			if !slices.Contains(kind.params, name) || len(values) == 0 || slices.Contains(values, "") {
				t.Fatalf("%q: parameter %q: %q", raw, name, values)
			}
			l.number(name)
			l.duration(name)
			l.yes(name)
		}
		l.redis()
		if e, ok := engines[l.scheme]; ok {
			if dsn, err := e.dsn(l); err == nil && dsn == "" {
				t.Fatalf("%q: no DSN", raw)
			}
		}
	})
}

// FuzzPassword: whatever stands in a password, encoded or not, and whatever
// else is wrong, no error shows it.
func FuzzPassword(f *testing.F) {
	for _, scheme := range []string{"redis", "postgres", "mysql", "mongodb", "sqlite", "file", "memory"} {
		f.Add(scheme, "", "")
		f.Add(scheme, "/", "/x?prefix=a&odd=1")
		f.Add(scheme, "?a=1&", "?table=a&table=b")
		f.Add(scheme, "#", "#")
		f.Add(scheme, "%zz", "/0?prefix=")
		f.Add(scheme, "@h:1/x?", "/down")
	}
	f.Fuzz(func(t *testing.T, scheme, middle, tail string) {
		if strings.Contains(scheme, "Qx7") || strings.Contains(tail, "Qx7") || strings.Contains(tail, "7xQ") {
			return
		}
		raw := scheme + "://user:Qx7" + middle + "7xQ@host" + tail
		_, err := parse(raw)
		if err != nil && (strings.Contains(err.Error(), "Qx7") || strings.Contains(err.Error(), "7xQ")) {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}
