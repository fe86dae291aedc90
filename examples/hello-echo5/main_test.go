package main

import (
	"testing"

	"github.com/coatcheck/sessions/examples/internal/browser"
)

func Test(t *testing.T) {
	h := handler()
	first, second := browser.New(h), browser.New(h)
	for _, visit := range []struct {
		browser *browser.Browser
		want    string
	}{{first, "visit 1\n"}, {first, "visit 2\n"}, {second, "visit 1\n"}, {first, "visit 3\n"}} {
		if status, body := visit.browser.Get("/"); status != 200 || body != visit.want {
			t.Errorf("%d %q, want %q", status, body, visit.want)
		}
	}
}
