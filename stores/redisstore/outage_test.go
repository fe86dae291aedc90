//go:build unix

package redisstore

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// pause stops the server in its tracks until resume.
func (s *server) pause()  { s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *server) resume() { s.cmd.Process.Signal(syscall.SIGCONT) }

var sentinels = []error{core.ErrNotFound, core.ErrExpired, core.ErrExists, core.ErrConflict, core.ErrCorrupt, core.ErrFull}

// wantFailure checks for an error that is no answer.
func wantFailure(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: success, want a failure", what)
	}
	for _, s := range sentinels {
		if errors.Is(err, s) {
			t.Errorf("%s: %v, which is an answer; want a failure", what, err)
		}
	}
}

// verbs calls every verb and power of a store on a record that is there.
func verbs(t *testing.T, s *Store, rec core.Record, check func(what string, err error)) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := s.Load(ctx, rec.ID)
	check("Load", err)
	check("Create", s.Create(ctx, session(s.clock(), "ann")))
	next := rec
	next.Version++
	check("Update", s.Update(ctx, next))
	check("Touch", s.Touch(ctx, rec.ID, rec.LastAccess, rec.ExpiresAt))
	check("DeleteVersion", s.DeleteVersion(ctx, rec.ID, next.Version))
	_, err = s.Delete(ctx, rec.ID)
	check("Delete", err)
	_, err = s.ListUser(ctx, "ann")
	check("ListUser", err)
	for _, err = range s.List(ctx) {
		if err != nil {
			break
		}
	}
	check("List", err)
	unlock, err := s.Lock(ctx, rec.ID)
	if check("Lock", err); err == nil {
		unlock()
	}
	check("Check", s.Check(ctx))
}

// Feature B23. Fails if any error of the client passes for an answer, or if the
// store does not come back with the server.
func TestServerDies(t *testing.T) {
	server := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	s := newStore(t, server.client(t), nil)
	rec := session(time.Now(), "ann")
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	server.kill()
	started := time.Now()
	verbs(t, s, rec, func(what string, err error) { wantFailure(t, what+" without a server", err) })
	if waited := time.Since(started); waited > 4*time.Second {
		t.Errorf("the verbs took %v to find that there is no server", waited)
	}
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	verbs(t, s, rec, func(what string, err error) {
		if err != nil {
			t.Errorf("%s with the server back: %v", what, err)
		}
	})
}

// Promise 6, through the manager: an outage is never "not logged in", and
// nothing that was not saved is reported as saved.
func TestRequestsDuringOutage(t *testing.T) {
	server := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	site := newSite(t, newStore(t, server.client(t), nil), nil)
	want := func(when, path string, status int, body string) {
		t.Helper()
		a := site.get(path)
		if a.Code != status || !strings.Contains(a.Body.String(), body) {
			t.Errorf("%s: %s: %d %q, want %d %q", when, path, a.Code, a.Body, status, body)
		}
		if status >= 500 && (strings.Contains(a.Body.String(), "user") || a.Header().Get("Set-Cookie") != "") {
			t.Errorf("%s: %s: answered with %q and %q", when, path, a.Body, a.Header())
		}
	}
	want("before", "/login", http.StatusOK, "welcome")
	want("before", "/write", http.StatusOK, "written")
	cookie := site.cookie
	for range 2 {
		server.kill()
		want("down", "/untouched", http.StatusOK, "hello")
		for _, path := range []string{"/read", "/write", "/logout", "/login"} {
			want("down", path, http.StatusServiceUnavailable, "")
			if site.cookie != cookie {
				t.Fatalf("down: %s changed the cookie", path)
			}
		}
		site.cookie = ""
		want("down, without a cookie", "/login", http.StatusServiceUnavailable, "")
		site.cookie = cookie
		if err := server.start(); err != nil {
			t.Fatal(err)
		}
		want("back", "/read", http.StatusOK, "user ann")
		want("back", "/write", http.StatusOK, "written")
	}
	want("in the end", "/logout", http.StatusOK, "bye")
	site.cookie = cookie
	want("in the end", "/read", http.StatusOK, "user ")
	if a := site.get("/read"); strings.Contains(a.Body.String(), "ann") {
		t.Error("a session that was ended is back")
	}
}

// Fails if a call outlasts its context, or hides that this is why it failed.
func TestServerHangs(t *testing.T) {
	server := startServer(t)
	s := newStore(t, server.client(t), nil)
	rec := session(time.Now(), "ann")
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	server.pause()
	t.Cleanup(server.resume)
	next := rec
	next.Version++
	for what, call := range map[string]func(ctx context.Context) error{
		"Load":     func(ctx context.Context) error { _, err := s.Load(ctx, rec.ID); return err },
		"Create":   func(ctx context.Context) error { return s.Create(ctx, session(time.Now(), "bob")) },
		"Update":   func(ctx context.Context) error { return s.Update(ctx, next) },
		"Touch":    func(ctx context.Context) error { return s.Touch(ctx, rec.ID, rec.LastAccess, rec.ExpiresAt) },
		"Delete":   func(ctx context.Context) error { _, err := s.Delete(ctx, newUnknown()); return err },
		"ListUser": func(ctx context.Context) error { _, err := s.ListUser(ctx, "ann"); return err },
		"List": func(ctx context.Context) error {
			for _, err := range s.List(ctx) {
				return err
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		started := time.Now()
		err := call(ctx)
		cancel()
		wantFailure(t, what+" of a server that hangs", err)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want an error that wraps the context's", what, err)
		}
		if waited := time.Since(started); waited > 3*time.Second {
			t.Errorf("%s returned after %v; its context ended after 50ms", what, waited)
		}
	}
	server.resume()
	if got, err := s.Load(t.Context(), rec.ID); err != nil || got.ID != rec.ID {
		t.Errorf("Load when the server is back: %v, %v", got, err)
	}
}

// Fails if an error of the connection hides that the context ended.
func TestFailureWrapsContext(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	cut := errors.New("connection cut")
	if err := failure(ended, cut); !errors.Is(err, context.Canceled) || !errors.Is(err, cut) {
		t.Errorf("%v, want an error that wraps both", err)
	}
	if err := failure(t.Context(), cut); !errors.Is(err, cut) || failure(ended, nil) != nil {
		t.Errorf("%v", err)
	}
}

func newUnknown() core.ID { return session(time.Now(), "").ID }

// Fails if a read is not tried again, on each connection that may be dead.
func TestConnectionsCut(t *testing.T) {
	var tap wiretap
	server := startServer(t)
	one := newStore(t, newClient(t, tap.attach(server.option())), nil)
	several := beside(t, one, server.client(t))
	rec := session(time.Now(), "ann")
	if err := one.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	load := func(s *Store) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // as the manager does
		defer cancel()
		if _, err := s.Load(ctx, rec.ID); err != nil {
			t.Errorf("Load over a cut connection: %v", err)
		}
	}
	for range 5 {
		tap.loseAnswer("GET")
		load(one)
	}
	if n := tap.losses(); n != 5 {
		t.Errorf("%d answers were lost, want 5", n)
	}
	for range 20 {
		for range 10 {
			load(several)
		}
		server.command(t, "CLIENT", "KILL", "TYPE", "normal")
		load(several)
	}
}

// Fails if a write whose answer was lost is sent again: its second try would
// meet its own version and take it for another's.
func TestLostAnswer(t *testing.T) {
	var tap wiretap
	server := startServer(t)
	s := newStore(t, newClient(t, tap.attach(server.option())), nil)
	ctx, rec := t.Context(), session(time.Now(), "")
	loadScripts(t, s)

	tap.loseAnswer("EVALSHA")
	wantFailure(t, "Create without an answer", s.Create(ctx, rec))
	if got, err := s.Load(ctx, rec.ID); err != nil || got.Version != 1 {
		t.Fatalf("the record that was created: %v, %v", got, err)
	}
	rec.Version = 2
	tap.loseAnswer("EVALSHA")
	wantFailure(t, "Update without an answer", s.Update(ctx, rec))
	if got, err := s.Load(ctx, rec.ID); err != nil || got.Version != 2 {
		t.Fatalf("the record that was updated: version %d, %v", got.Version, err)
	}
	tap.loseAnswer("EVALSHA")
	_, err := s.Delete(ctx, rec.ID)
	wantFailure(t, "Delete without an answer", err)
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("the record that was deleted: %v", err)
	}
	if n := tap.losses(); n != 3 {
		t.Errorf("%d answers were lost, want 3", n)
	}
}

// Fails without the fallback to EVAL.
func TestScriptsAreForgotten(t *testing.T) {
	server := startServer(t)
	s := newStore(t, server.client(t), nil)
	rec := session(time.Now(), "ann")
	forget := func() { server.command(t, "SCRIPT", "FLUSH") }
	forget()
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	verbs(t, s, rec, func(what string, err error) {
		if err != nil {
			t.Errorf("%s after SCRIPT FLUSH: %v", what, err)
		}
		forget()
	})
}

// Fails if a full server passes for an outage, or keeps people logged in.
func TestServerIsFull(t *testing.T) {
	server := startServer(t)
	s := newStore(t, server.client(t), nil)
	ctx, rec := t.Context(), session(time.Now(), "ann")
	if err := s.Create(ctx, rec); err != nil {
		t.Fatal(err)
	}
	server.command(t, "CONFIG", "SET", "maxmemory", "1")
	for _, user := range []string{"", "ann"} {
		if err := s.Create(ctx, session(time.Now(), user)); !errors.Is(err, core.ErrFull) {
			t.Errorf("Create of a session of %q on a full server: %v, want ErrFull", user, err)
		}
	}
	if got, err := s.Load(ctx, rec.ID); err != nil || got.User != "ann" {
		t.Errorf("Load from a full server: %v, %v", got, err)
	}
	if existed, err := s.Delete(ctx, rec.ID); !existed || err != nil {
		t.Errorf("Delete on a full server: %t, %v", existed, err)
	}
}

// exampleUser makes the user of the example of New on a server, with the rules
// that edit leaves, and returns a store for it.
func exampleUser(t *testing.T, server *server, edit func(rules string) string) *Store {
	t.Helper()
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, ok := strings.Cut(string(example), "//\tACL SETUSER")
	rules, _, ok2 := strings.Cut(rules, "\n//\n")
	if !ok || !ok2 {
		t.Fatal("no ACL SETUSER in the examples")
	}
	rules = edit(strings.ReplaceAll(rules, "//", ""))
	server.command(t, append([]string{"ACL", "SETUSER"}, strings.Fields(rules)...)...)
	option := server.option()
	option.Username, option.Password = "shop", "password"
	s, err := New(newClient(t, option), Config{Prefix: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Fails if a verb needs a command that the example of New does not name.
func TestLeastPrivilege(t *testing.T) {
	server := startServer(t)
	s := exampleUser(t, server, func(rules string) string { return rules })
	rec := session(time.Now(), "ann")
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	verbs(t, s, rec, func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	})
	one, two := patient(t, beside(t, s, s.client)), patient(t, beside(t, s, s.client))
	handOver(t, one, two, newUnknown(), nil)
	s.prefix = "other"
	if _, err := s.Load(t.Context(), rec.ID); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("Load of another prefix: %v, want NOPERM", err)
	}
}

// Fails if Check does not look, or cries wolf.
func TestCheck(t *testing.T) {
	server := startServer(t)
	s := newStore(t, server.client(t), nil)
	check := func(want string) {
		t.Helper()
		err := s.Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Check: %v, want %q", err, want)
		}
	}
	check("")
	server.command(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	check("")
	server.command(t, "CONFIG", "SET", "maxmemory", "100mb")
	check("allkeys-lru")
	server.command(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	check("")
	for version, fit := range map[string]bool{
		"6.2.0": true, "7.0.15": true, "8.2.1": true, "10.0.0": true, "6.0.16": false, "5.0.14": false, "": false, "x": false,
	} {
		if got := unfit(map[string]string{"redis_version": version, "maxmemory": "0"}); (len(got) == 0) != fit {
			t.Errorf("version %q: %v, want fit: %t", version, got, fit)
		}
	}
}

// Fails if calls wait for room in the queue of a connection, whatever their
// context says.
func TestServerHangsUnderLoad(t *testing.T) {
	server := startServer(t)
	s := newStore(t, server.client(t), nil)
	rec := session(time.Now(), "")
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	server.pause()
	t.Cleanup(server.resume)
	const timeout = 200 * time.Millisecond
	var group sync.WaitGroup
	for range 10_000 { // more than the queues of 4 connections hold
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			started := time.Now()
			_, err := s.Load(ctx, rec.ID)
			if waited := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || waited > 5*time.Second {
				t.Errorf("Load: %v after %v, want the context's error after %v", err, waited, timeout)
			}
		})
	}
	group.Wait()
	server.resume()
	if _, err := s.Load(t.Context(), rec.ID); err != nil {
		t.Errorf("Load when the server is back: %v", err)
	}
}

// Fails if the client's version is older: it returned no client with the error.
func TestStartWithoutServer(t *testing.T) {
	server := startServer(t)
	server.kill()
	client, err := rueidis.NewClient(server.option())
	if err == nil || client == nil {
		t.Fatalf("NewClient without a server: %v, %v, want a client and an error", client, err)
	}
	t.Cleanup(client.Close)
	s, err := New(client, Config{Prefix: "test"})
	if err != nil {
		t.Fatal(err)
	}
	rec := session(time.Now(), "ann")
	wantFailure(t, "Create without a server", s.Create(t.Context(), rec))
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), rec); err != nil {
		t.Errorf("Create when the server has come: %v", err)
	}
}
