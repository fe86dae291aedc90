package main

import (
	"errors"
	"maps"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/examples/internal/browser"
)

func Test(t *testing.T) {
	older, newer := core.GenerateSecret().Reveal(), core.GenerateSecret().Reveal()
	// at is the browser, come to a server with these secrets.
	at := func(b *browser.Browser, secrets string) *browser.Browser {
		t.Helper()
		h, err := handler(secrets)
		if err != nil {
			t.Fatal(err)
		}
		b.Handler = h
		return b
	}
	greets := func(b *browser.Browser, want string) {
		t.Helper()
		if status, body := b.Get("/"); status != 200 || body != want {
			t.Errorf("%d %q, want %q", status, body, want)
		}
	}
	b := browser.New(nil)
	at(b, older).Post("/name", "name", "alice")
	greets(b, "hello alice\n")
	away := browser.New(nil) // does not come while both secrets are in use
	away.Cookies = maps.Clone(b.Cookies)

	greets(at(b, newer+" "+older), "hello alice\n")
	greets(at(b, newer), "hello alice\n")
	greets(at(away, newer), "hello stranger\n")
}

func TestSecretsAreRequired(t *testing.T) {
	for _, secrets := range []string{"", "weak", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="} {
		if _, err := handler(secrets); !errors.Is(err, core.ErrConfig) {
			t.Errorf("SESSION_SECRETS=%q: %v", secrets, err)
		}
	}
}
