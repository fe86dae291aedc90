package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/examples/internal/browser"
)

func Test(t *testing.T) {
	b := browser.New(handler())
	page := func(b *browser.Browser, want string) {
		t.Helper()
		if status, body := b.Get("/"); status != 200 || !strings.Contains(body, want) {
			t.Errorf("the page lacks %q: %d %s", want, status, body)
		}
	}
	page(b, "Log in")
	if len(b.Cookies) != 0 {
		t.Error("a look at the page sets a cookie")
	}
	if status, _ := b.Get("/account"); status != 401 {
		t.Errorf("the account of nobody: %d, want 401", status)
	}

	b.Post("/login", "user", "alice", "password", "guess")
	page(b, "That is not right.")
	if status, body := b.Get("/"); status != 200 || strings.Contains(body, "not right") {
		t.Errorf("the notice is shown twice: %s", body)
	}

	b.Post("/login", "user", "alice", "password", "open sesame")
	page(b, "Welcome.")
	page(b, "You are alice.")
	if status, body := b.Get("/account"); status != 200 || !strings.HasPrefix(body, "The account of alice") {
		t.Errorf("the account: %d %s", status, body)
	}

	thief := browser.New(b.Handler)
	thief.Cookies = maps.Clone(b.Cookies)
	b.Post("/logout")
	page(b, "You are logged out.")
	for name, b := range map[string]*browser.Browser{"the browser": b, "a copy of its cookie": thief} {
		if status, _ := b.Get("/account"); status != 401 {
			t.Errorf("%s after logout: %d, want 401", name, status)
		}
	}
}
