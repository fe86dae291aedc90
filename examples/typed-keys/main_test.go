package main

import (
	"strings"
	"testing"

	"github.com/coatcheck/sessions/examples/internal/browser"
)

func Test(t *testing.T) {
	b := browser.New(handler())
	want := func(status int, body string, wantStatus int, wantBody string) {
		t.Helper()
		if status != wantStatus || body != wantBody {
			t.Errorf("%d %q, want %d %q", status, body, wantStatus, wantBody)
		}
	}
	status, body := b.Get("/cart")
	want(status, body, 200, "language en, dark false\n")
	status, body = b.Post("/cart", "item", "hat")
	want(status, body, 200, "1 of hat, 1 in all\n")
	b.Post("/cart", "item", "coat")
	status, body = b.Post("/cart", "item", "hat")
	want(status, body, 200, "2 of hat, 3 in all\n")
	status, body = b.Post("/look", "dark", "yes", "language", "fr")
	want(status, body, 204, "")
	status, body = b.Get("/cart")
	want(status, body, 200, "language fr, dark true\ncoat: 1\nhat: 2\n")
	status, body = b.Post("/cart/remove", "item", "coat")
	want(status, body, 204, "")
	status, body = b.Get("/cart")
	want(status, body, 200, "language fr, dark true\nhat: 2\n")

	_, code := b.Post("/code")
	code = strings.TrimSpace(code)
	status, body = b.Post("/code/redeem", "code", "guess")
	want(status, body, 403, "no such code\n")
	status, body = b.Post("/code/redeem", "code", code)
	want(status, body, 200, "welcome\n")
	status, body = b.Post("/code/redeem", "code", code)
	want(status, body, 403, "no such code\n")
}
