package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/examples/internal/browser"
)

func Test(t *testing.T) {
	h := handler(newManager())
	first, second := browser.New(h), browser.New(h)
	for _, visit := range []struct {
		browser *browser.Browser
		want    string
	}{{first, "number 1."}, {first, "number 2."}, {second, "number 1."}, {first, "number 3."}} {
		if status, body := visit.browser.Get("/"); status != 200 || !strings.Contains(body, visit.want) {
			t.Errorf("%d %q, want %q", status, body, visit.want)
		}
	}
}

// The page that walks through the store shows it as it is, and it is short.
func TestPageShowsTheStore(t *testing.T) {
	page, err := os.ReadFile("../../docs/write-a-store.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kvstore/kvstore.go", "kvstore/kvstore_test.go"} {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		shown := code[bytes.Index(code, []byte("package ")):]
		if !bytes.Contains(page, slices.Concat([]byte("```go\n"), shown, []byte("```\n"))) {
			t.Errorf("docs/write-a-store.md does not show %s as it is", name)
		}
		if lines := bytes.Count(code, []byte("\n")); lines >= 120 {
			t.Errorf("%s has %d lines, want fewer than 120", name, lines)
		}
	}
	sweep, err := os.ReadFile("kvstore/sweep.go")
	if err != nil {
		t.Fatal(err)
	}
	_, method, _ := bytes.Cut(sweep, []byte("\nfunc (s *Store) Sweep"))
	if len(method) == 0 || !bytes.Contains(page, method) {
		t.Error("docs/write-a-store.md does not show Store.Sweep as it is")
	}
}
