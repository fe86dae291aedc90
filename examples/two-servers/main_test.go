package main

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/examples/internal/browser"
)

// A session written by one server is read, changed and logged out by the other.
func TestTwoServers(t *testing.T) {
	dir, secret := filepath.Join(t.TempDir(), "sessions"), core.GenerateSecret()
	var targets []*url.URL
	for _, name := range []string{"one", "two"} {
		handler, sessions, err := server(name, dir, secret)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(handler)
		t.Cleanup(func() { srv.Close(); sessions.Close() })
		target, _ := url.Parse(srv.URL)
		targets = append(targets, target)
	}
	proxy := balance(targets...)
	b := browser.New(proxy)
	seen := map[string]bool{}
	for i := range 4 {
		status, body := b.Get("/")
		var name string
		var n int
		if _, err := fmt.Sscanf(body, "server %s visit %d", &name, &n); status != 200 || err != nil || n != i+1 {
			t.Fatalf("request %d: %d %q", i, status, body)
		}
		seen[name] = true
	}
	if len(seen) != 2 {
		t.Errorf("only %v answered", seen)
	}
	if status, _ := b.Post("/login", "user", "alice"); status != 200 {
		t.Fatal(status)
	}
	if _, body := b.Get("/"); body != `server one, visit 5 of "alice"`+"\n" && body != `server two, visit 5 of "alice"`+"\n" {
		t.Errorf("after the login: %q", body)
	}
	before := maps.Clone(b.Cookies)
	if status, _ := b.Post("/logout"); status != 200 || len(b.Cookies) != 0 {
		t.Errorf("logout: %d, cookies %v", status, b.Cookies)
	}
	for range 2 { // each server
		stolen := browser.New(proxy)
		stolen.Cookies = maps.Clone(before)
		if _, body := stolen.Get("/"); body[len("server one, "):] != `visit 1 of ""`+"\n" {
			t.Errorf("with the cookie from before the logout: %q", body)
		}
	}
}
