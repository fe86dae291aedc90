package app

import (
	"html"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

func TestPage(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		u.header.Set("Accept", "text/html,application/xhtml+xml")
		has := func(what string, texts ...string) {
			t.Helper()
			r := u.get("/").want(t, "page", 200)
			if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html;") || len(r.cookies()) > 0 {
				t.Errorf("the page is %s and sets %q", r.header.Get("Content-Type"), r.cookies())
			}
			page := html.UnescapeString(r.body)
			for _, text := range texts {
				if !strings.Contains(page, text) {
					t.Errorf("the page %s lacks %q", what, text)
				}
			}
			for _, token := range p.tokens.all() {
				if strings.Contains(page, token) {
					t.Errorf("the page %s shows the cookie", what)
				}
			}
		}
		var forms []string
		for _, rt := range routes(true) {
			if rt.Group != "" {
				forms = append(forms, `action="`+rt.Path+`"`)
			}
		}
		has("of nobody", append(forms, "You are not logged in.", `action="/login"`, `action="/put"`)...)

		// The forms of the page come back to it.
		for _, form := range [][]string{
			{"/login", "user", "<alice>"}, {"/put", "k", "color", "v", "a secret value"}, {"/incr", "k", "n"}, {"/regenerate"}, {"/debug/fault", "op", "load", "n", "0"},
		} {
			if r := u.post(form[0], form[1:]...).want(t, form[0]+" from the page", 303); r.header.Get("Location") != "/" {
				t.Errorf("%s from the page leads to %q", form[0], r.header.Get("Location"))
			}
		}
		has("of alice", "<alice>", "<li>color</li>", "<li>n</li>", "POST /put", "stored", "created, login", "30 min")
		if page := u.get("/").body; strings.Contains(page, "a secret value") || strings.Contains(page, "<alice>") {
			t.Error("the page shows a value, or a name as HTML")
		}
		r := u.post("/put").want(t, "a bad form", 400)
		if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html;") {
			t.Errorf("a bad form gets %s", r.header.Get("Content-Type"))
		}
		u.post("/fail", "status", "503", "k", "k").want(t, "a form that fails", 503)
		u.post("/logout").want(t, "logout from the page", 303)
		has("after logout", "You are not logged in.")
		if k.server {
			two := u.copy()
			u.post("/login", "user", "bob").want(t, "login", 303)
			two.post("/login", "user", "bob").want(t, "login", 200)
			has("with two sessions", two.get("/facts").json["id"].(string), `action="/revoke"`, "this one")
		}
	})
}

// The history tells what became of a change.
func TestHistory(t *testing.T) {
	p := start(t)
	u := p.user()
	u.post("/login", "user", "alice").want(t, "login", 200)
	finish := u.slow("op", "write", "k", "a", "v", "1")
	u.post("/put", "k", "b", "v", "2").want(t, "put", 200)
	finish().want(t, "write", 200)
	u.get("/me").want(t, "me", 200)
	stale := u.copy().slow("op", "write", "k", "a", "v", "3")
	u.post("/regenerate").want(t, "regenerate", 200)
	stale().want(t, "write after rotation", 409)
	page := u.get("/").body
	for _, did := range []string{didStore, didMerge, didNothing, didRefuse} {
		if !strings.Contains(page, `<span class="did `+did+`">`) {
			t.Errorf("the page shows no request that was %s", did)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	id := func(n int) core.ID { return core.ID{1, byte(n), byte(n >> 8)} }
	for n := range maxHistories + 5 {
		for range maxEntries + 5 {
			h.add(&pending{e: entry{Path: "/put", id: id(n)}})
		}
	}
	if len(h.byID) != maxHistories || len(h.order) != maxHistories {
		t.Errorf("%d histories are kept, want %d", len(h.byID), maxHistories)
	}
	if len(h.of(id(0))) != 0 || len(h.of(id(maxHistories))) != maxEntries {
		t.Errorf("the oldest history has %d entries and the newest %d", len(h.of(id(0))), len(h.of(id(maxHistories))))
	}
}

func TestStretch(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 3 * time.Second: "3 s", 90 * time.Second: "1 min 30 s",
		30 * time.Minute: "30 min", 25 * time.Hour: "1 d 1 h", 400 * 24 * time.Hour: "400 d", time.Hour + time.Second: "1 h 1 s",
	} {
		if got := stretch(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
