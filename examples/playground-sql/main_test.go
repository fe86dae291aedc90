package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/examples/playground/app"
)

// start runs the program until the test ends, or until stop is called.
func start(t *testing.T, args ...string) (base string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	var logs bytes.Buffer
	status := make(chan int, 1)
	go func() { status <- app.Run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), in, &logs, stores()) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if got := <-status; got != 0 {
			t.Errorf("exit status %d: %s", got, &logs)
		}
	}
	t.Cleanup(stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	base, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("first line %q, %v: %s", line, err, &logs)
	}
	return base, stop
}

// client keeps the session's cookie, which Go's own jar would not send over
// plain HTTP.
type client struct {
	t      *testing.T
	cookie string
}

func (c *client) do(method, url string) string {
	c.t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Cookie", c.cookie)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	for _, line := range res.Header["Set-Cookie"] {
		c.cookie, _, _ = strings.Cut(line, ";")
	}
	body, _ := io.ReadAll(res.Body)
	return res.Status[:3] + " " + strings.TrimSpace(string(body))
}

// Two playgrounds on one file, with one secret, serve the same sessions; they
// survive a restart; and a logout on one is a logout on the other.
func TestSQLite(t *testing.T) {
	args := []string{"-store", "sqlite", "-dsn", filepath.Join(t.TempDir(), "a b?.db"), "-secret", "3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs="}
	one, _ := start(t, args...)
	two, stopTwo := start(t, args...)
	c := &client{t: t}
	expect := func(method, url, want string) {
		t.Helper()
		if got := c.do(method, url); got != want {
			t.Errorf("%s %s: %s, want %s", method, url, got, want)
		}
	}
	expect("POST", one+"/login?user=alice", `200 {"err":"","user":"alice"}`)
	expect("POST", two+"/incr?k=n", `200 {"err":"","n":1}`)
	expect("POST", one+"/incr?k=n", `200 {"err":"","n":2}`)
	stopTwo()
	two, _ = start(t, args...)
	expect("GET", two+"/count?k=n", `200 {"err":"","n":2}`)
	old := c.cookie
	expect("POST", two+"/logout", `200 {"err":"","ok":true,"revoked":true}`)
	c.cookie = old
	expect("GET", one+"/me", `401 {"err":"","user":""}`)
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-store", "sqlite"}, {"-store", "postgres"}, {"-store", "postgres", "-dsn", "postgres://nobody@127.0.0.1:1/none"}, {"-store", "oracle"}} {
		var out, errs bytes.Buffer
		if status := app.Run(context.Background(), args, &out, &errs, stores()); status != 2 || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%q: status %d, %q", args, status, &errs)
		}
	}
}
