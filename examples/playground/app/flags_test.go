package app

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

func TestFlagErrors(t *testing.T) {
	const weak = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // text, encoded
	for _, test := range []struct {
		args string // separated by spaces; _ is an empty one
		says string
	}{
		{"-adapter rails", "-adapter"},
		{"-store tape", "-store"},
		{"-store cookie -dsn x", "-dsn"},
		{"-addr nowhere", "-addr"},
		{"-addr 127.0.0.1:99999", "-addr"},
		{"-secret _", "-secret"},
		{"-secret " + weak, "-secret"},
		{"-secret not-base64", "-secret"},
		{"-idle -5m", "-idle"},
		{"-absolute -1s", "-absolute"},
		{"-touch -1ns", "-touch"},
		{"-idle soon", "idle"},
		{"-idle 48h", "IdleTimeout"},
		{"-idle 10s -touch 10s", "TouchInterval"},
		{"-max-sessions -1", "-max-sessions"},
		{"-store cookie -exclusive", "Exclusive"},
		{"-unknown", "unknown"},
		{"argument", "argument"},
	} {
		var stdout, stderr bytes.Buffer
		args := strings.Fields(test.args)
		for i := range args {
			args[i] = strings.TrimSuffix(args[i], "_")
		}
		status := Run(t.Context(), args, &stdout, &stderr, Stores())
		if status != 2 || stdout.Len() > 0 {
			t.Errorf("%s: status %d and stdout %q, want 2 and nothing", test.args, status, &stdout)
		}
		text := stderr.String()
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || !strings.Contains(text, test.says) {
			t.Errorf("%s: stderr %q, want one line about %s", test.args, text, test.says)
		}
		if strings.Contains(text, weak) || strings.Contains(text, "not-base64") {
			t.Errorf("%s: the secret is in stderr: %s", test.args, text)
		}
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := Run(t.Context(), []string{"-help"}, &stdout, &stderr, Stores()); status != 0 || stderr.Len() > 0 {
		t.Errorf("status %d, stderr %q", status, &stderr)
	}
	for _, name := range []string{"adapter", "store", "dsn", "addr", "secret", "idle", "absolute", "touch", "count", "insecure", "max-sessions", "exclusive", "debug"} {
		if !strings.Contains(stdout.String(), "  -"+name) {
			t.Errorf("the help lacks -%s:\n%s", name, &stdout)
		}
	}
}

func TestPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var stdout, stderr bytes.Buffer
	if status := Run(t.Context(), []string{"-addr", listener.Addr().String()}, &stdout, &stderr, Stores()); status != 1 || stdout.Len() > 0 {
		t.Errorf("status %d, stdout %q, want 1 and nothing", status, &stdout)
	}
}

// Requests under way end before the program does.
func TestGracefulShutdown(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/put", "k", "k", "v", "1").want(t, "put", 200)
		finish := u.slow("op", "write", "k", "k", "v", "2")
		p.stop()
		p.awaitClosed()
		finish().want(t, "a write under way", 200, "ok", true)
		if status := <-p.exit; status != 0 {
			t.Errorf("exit status %d", status)
		}
		p.exit <- 0
	})
}

func TestInsecure(t *testing.T) {
	u := start(t, "-insecure").user()
	r := u.post("/login", "user", "alice").want(t, "login", 200)
	if len(r.cookies()) != 1 || !strings.HasPrefix(r.cookies()[0], "session=") || strings.Contains(r.cookies()[0], "Secure") {
		t.Errorf("login sets %q", r.cookies())
	}
	u.get("/me").want(t, "me", 200)
}

func TestCount(t *testing.T) {
	u := start(t, "-count").user()
	u.post("/put", "k", "k").want(t, "put", 200)
	u.get("/me").want(t, "me", 401)
	u.get("/facts").want(t, "facts", 200, "requests", 3)
}

func TestLimits(t *testing.T) {
	p := start(t, "-debug", "-idle", "10s", "-absolute", "15s", "-touch", "2s")
	u := p.user()
	u.post("/login", "user", "alice").want(t, "login", 200)
	for range 2 {
		p.clock.advance(6 * time.Second)
		u.get("/me").want(t, "me within the idle limit", 200)
	}
	if n := p.calls()["touch"]; n != 2.0 {
		t.Errorf("%v touches, want 2", n)
	}
	p.clock.advance(4 * time.Second)
	u.get("/facts").want(t, "facts after the absolute limit", 200, "user", "", "rejected", "expired")
}

func TestMaxSessions(t *testing.T) {
	p := start(t, "-debug", "-max-sessions", "2")
	for range 5 {
		p.user().post("/put", "k", "k").want(t, "put", 200)
	}
	if n := p.records(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

// Playgrounds with the same secrets and store serve the same sessions; an
// older secret still opens, another does not.
func TestSecrets(t *testing.T) {
	older, newer := core.GenerateSecret().Reveal(), core.GenerateSecret().Reveal()
	u := start(t, "-store", "cookie", "-secret", older).user()
	u.post("/login", "user", "alice").want(t, "login", 200)
	at := func(p *playground) *user {
		c := p.user()
		c.cookies["__Host-session"] = u.cookie("__Host-session")
		return c
	}
	same := at(start(t, "-store", "cookie", "-secret", older))
	if r := same.get("/me").want(t, "me with the same secret", 200, "user", "alice"); len(r.cookies()) > 0 {
		t.Errorf("the same secret sets a cookie: %q", r.cookies())
	}
	rotated := at(start(t, "-store", "cookie", "-secret", newer, "-secret", older))
	if r := rotated.get("/me").want(t, "me with a new secret before the old", 200, "user", "alice"); len(r.cookies()) != 1 {
		t.Errorf("what an older secret opened is not sealed again: %q", r.cookies())
	}
	at(start(t, "-store", "cookie", "-secret", newer)).get("/facts").want(t, "facts with another secret", 200, "user", "", "rejected", "seal")
	at(start(t, "-store", "cookie")).get("/facts").want(t, "facts with a random secret", 200, "rejected", "seal")
}
