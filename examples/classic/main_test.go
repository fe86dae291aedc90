package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/examples/internal/browser"
)

var field = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// visitor is somebody with a browser and a watch.
type visitor struct {
	*browser.Browser
	t   *testing.T
	now time.Time
}

func newVisitor(t *testing.T) *visitor {
	v := &visitor{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	v.Browser = browser.New(handler(func() time.Time { return v.now }))
	return v
}

// sees looks at the page and returns the token in it.
func (v *visitor) sees(want ...string) (token string) {
	v.t.Helper()
	status, body := v.Get("/")
	for _, want := range want {
		if status != 200 || !strings.Contains(body, want) {
			v.t.Errorf("the page lacks %q: %d\n%s", want, status, body)
		}
	}
	for _, other := range []string{"expired", "ends in", `http-equiv="refresh"`} {
		if strings.Contains(body, other) && !strings.Contains(strings.Join(want, " "), other) {
			v.t.Errorf("the page says %q:\n%s", other, body)
		}
	}
	m := field.FindStringSubmatch(body)
	if m == nil {
		v.t.Fatalf("the page has no token: %d\n%s", status, body)
	}
	return m[1]
}

func (v *visitor) posts(want int, target string, fields ...string) {
	v.t.Helper()
	if status, body := v.Post(target, fields...); status != want {
		v.t.Errorf("%s: %d, want %d\n%s", target, status, want, body)
	}
}

func Test(t *testing.T) {
	v := newVisitor(t)
	before := v.sees("You are anonymous", "visit 1 ")
	token := v.sees("You are anonymous", "visit 2 ")

	v.posts(403, "/login", "user", "alice")
	v.posts(400, "/login", "csrf_token", token, "user", "")
	v.posts(400, "/login", "csrf_token", token, "user", strings.Repeat("x", 101))
	v.posts(303, "/login", "csrf_token", token, "user", "<alice>")
	token = v.sees("You are &lt;alice&gt;", "visit 3 ")
	v.posts(403, "/logout", "csrf_token", before)

	// Expire and wait: 5 seconds during which it is as good as ever.
	v.now = v.now.Add(time.Minute)
	v.posts(303, "/expire", "csrf_token", token)
	v.sees("You are &lt;alice&gt;", "visit 4 ", "ends in 5 seconds", `http-equiv="refresh" content="5"`)
	v.now = v.now.Add(4900 * time.Millisecond)
	v.sees("You are &lt;alice&gt;", "visit 5 ", "ends in 1 seconds", `http-equiv="refresh" content="1"`)
	v.now = v.now.Add(100 * time.Millisecond)
	v.sees("You are anonymous", "visit 1 ", "Your session has expired")
	token = v.sees("You are anonymous", "visit 2 ")

	v.posts(303, "/login", "csrf_token", token, "user", "bob")
	token = v.sees("You are bob", "visit 3 ")
	v.posts(303, "/logout", "csrf_token", token)
	if len(v.Cookies) != 0 {
		t.Error("the logout left a cookie")
	}
	v.sees("You are anonymous", "visit 1 ")
}
