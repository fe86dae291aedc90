package app

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// kind is a store as the tests run it, and what it can do.
type kind struct {
	name      string
	args      []string
	server    bool // it keeps records
	revocable bool // a logout ends copies of the cookie too
}

var kinds = []kind{
	{"memory", []string{"-store", "memory"}, true, true},
	{"cookie", []string{"-store", "cookie"}, false, false},
	{"revocable", []string{"-store", "cookie", "-dsn", "revocable"}, false, true},
	{"file", []string{"-store", "file", "-dsn", tempDir}, true, true},
}

// tempDir stands for a directory of the test's own, which is not there yet.
const tempDir = "TEMPDIR/sessions"

// everywhere runs a test on every adapter and store.
func everywhere(t *testing.T, test func(t *testing.T, p *playground, k kind)) {
	for _, adapter := range slices.Sorted(maps.Keys(adapters)) {
		for _, k := range kinds {
			t.Run(adapter+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				args := []string{"-adapter", adapter, "-debug"}
				for _, arg := range k.args {
					args = append(args, strings.Replace(arg, "TEMPDIR", t.TempDir(), 1))
				}
				test(t, start(t, args...), k)
			})
		}
	}
}

func TestUntouched(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		before := p.calls()
		r := u.get("/touch")
		if r.want(t, "touch", 200); strings.TrimSpace(r.body) != `{"ok":true}` {
			t.Errorf("touch answers %s", r.body)
		}
		for _, name := range []string{"Set-Cookie", "Vary", "Cache-Control"} {
			if r.header.Get(name) != "" {
				t.Errorf("an answer that never used the session has %s: %s", name, r.header.Get(name))
			}
		}
		if after := p.calls(); !jsonEqual(before, after) {
			t.Errorf("touch called the store: %v, then %v", before, after)
		}
	})
}

func TestReadingStoresNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		u.get("/me").want(t, "me", 401, "user", "", "err", "")
		u.get("/facts").want(t, "facts", 200, "id", "", "is_new", true, "dirty", false, "user", "", "rejected", "", "keys", []string{}, "err", "",
			"requests", 0, "created_at", time.Time{}.Format(time.RFC3339Nano))
		for _, path := range []string{"/get?k=a", "/count?k=a", "/map?k=a", "/ns?app=x&k=a", "/flash", "/slow", "/"} {
			r := u.get(path).want(t, path, 200)
			if len(r.cookies()) > 0 {
				t.Errorf("%s sets a cookie: %q", path, r.cookies())
			}
		}
		u.post("/logout").want(t, "logout", 200, "ok", true)
		u.post("/regenerate").want(t, "regenerate", 200)
		u.post("/idle", "d", "5m").want(t, "idle", 200)
		u.post("/delete", "k", "a").want(t, "delete", 200)
		u.post("/clear").want(t, "clear", 200)
		if calls := p.calls(); !jsonEqual(calls, map[string]int{"load": 0, "create": 0, "update": 0, "touch": 0, "delete": 0}) {
			t.Errorf("nothing was stored, but the store was called: %v", calls)
		}
	})
}

func TestLife(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		r := u.post("/login", "user", "alice").want(t, "login", 200, "user", "alice", "err", "")
		if len(r.cookies()) != 1 || !strings.HasPrefix(r.cookies()[0], "__Host-session=") {
			t.Fatalf("login sets %q", r.cookies())
		}
		for _, attribute := range []string{"; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(r.cookies()[0], attribute) {
				t.Errorf("the cookie lacks %q: %s", attribute, r.cookies()[0])
			}
		}
		if strings.Contains(r.cookies()[0], "Max-Age") {
			t.Errorf("the cookie outlives the browser: %s", r.cookies()[0])
		}
		u.get("/me").want(t, "me", 200, "user", "alice", "err", "")

		facts := u.get("/facts").want(t, "facts", 200, "is_new", false, "dirty", false, "user", "alice", "rejected", "")
		id := facts.json["id"].(string)
		if _, err := core.ParseID(id); err != nil {
			t.Errorf("facts: id %q: %v", id, err)
		}
		times := map[string]time.Time{}
		for _, name := range []string{"created_at", "last_access", "expires_at"} {
			at, err := time.Parse(time.RFC3339Nano, facts.json[name].(string))
			if err != nil {
				t.Errorf("facts: %s: %v", name, err)
			}
			times[name] = at
		}
		if idle := times["expires_at"].Sub(times["last_access"]); idle < 30*time.Minute || idle > 31*time.Minute {
			t.Errorf("facts: the session ends %v after its last use, want 30 minutes", idle)
		}

		// The token is replaced, the ID is not.
		old := u.copy()
		u.post("/regenerate").want(t, "regenerate", 200, "err", "")
		u.get("/facts").want(t, "facts after regenerate", 200, "id", id, "user", "alice")
		if k.revocable {
			rejected := "rotated"
			if !k.server {
				rejected = "revoked"
			}
			old.get("/facts").want(t, "the token before", 200, "user", "", "rejected", rejected)
		}

		// Each limit in turn.
		u.post("/idle", "d", "5m").want(t, "idle", 200)
		if left := until(t, u); left < 4*time.Minute || left > 5*time.Minute {
			t.Errorf("with an idle limit of 5 minutes %v are left", left)
		}
		u.post("/expire-at", "t", p.clock.now().Add(time.Minute).Format(time.RFC3339)).want(t, "expire-at", 200)
		if left := until(t, u); left > time.Minute {
			t.Errorf("with a limit in a minute %v are left", left)
		}
		r = u.post("/persist", "d", "720h").want(t, "persist", 200)
		if len(r.cookies()) != 1 || !strings.Contains(r.cookies()[0], "; Max-Age=2592000;") {
			t.Errorf("persist sets %q, want Max-Age=2592000", r.cookies())
		}
		if left := until(t, u); left < 719*time.Hour || left > 720*time.Hour {
			t.Errorf("after persist for 720h %v are left", left)
		}
		u.post("/expire-at", "t", "2001-01-01T00:00:00Z").want(t, "expire-at in the past", 200)
		u.get("/me").want(t, "me after the end", 401)

		u = p.user()
		u.post("/login", "user", "bob").want(t, "login", 200)
		copied := u.copy()
		u.post("/logout").want(t, "logout", 200, "ok", true, "revoked", k.revocable, "err", "")
		if u.cookie("__Host-session") != "" {
			t.Error("logout leaves the cookie in the browser")
		}
		u.get("/me").want(t, "me after logout", 401)
		switch {
		case k.server:
			copied.get("/facts").want(t, "a copy after logout", 200, "user", "", "rejected", "unknown")
		case k.revocable:
			copied.get("/facts").want(t, "a copy after logout", 200, "user", "", "rejected", "revoked")
		default:
			copied.get("/me").want(t, "a copy after logout, without a revocation list", 200, "user", "bob")
		}
	})
}

// until is how long the session has left.
func until(t *testing.T, u *user) time.Duration {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, u.get("/facts").json["expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return at.Sub(u.p.clock.now())
}

func TestValues(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		u.post("/put", "k", "color", "v", "blue").want(t, "put", 200, "k", "color", "err", "")
		u.get("/get", "k", "color").want(t, "get", 200, "k", "color", "v", "blue", "ok", true, "err", "")
		u.get("/get", "k", "none").want(t, "get nothing", 200, "k", "none", "v", "", "ok", false)
		u.post("/put?k=size&v=XL").want(t, "put with query parameters", 200, "k", "size")
		u.post("/put", "k", "long", "size", "1000").want(t, "put by size", 200)
		if v := u.get("/get", "k", "long").json["v"]; v != strings.Repeat("x", 1000) {
			t.Errorf("put of size 1000 stored %q", v)
		}
		u.post("/delete", "k", "long").want(t, "delete", 200, "err", "")
		u.get("/facts").want(t, "facts", 200, "keys", []string{"color", "size"})

		// The same value again is no change.
		before := p.calls()["update"]
		if r := u.post("/put", "k", "color", "v", "blue"); len(r.cookies()) > 0 {
			t.Errorf("setting what is there sets a cookie: %q", r.cookies())
		}
		if after := p.calls()["update"]; after != before {
			t.Errorf("setting what is there updated the store: %v, then %v", before, after)
		}

		u.post("/incr", "k", "n").want(t, "incr", 200, "n", 1, "err", "")
		u.post("/incr", "k", "n").want(t, "incr", 200, "n", 2)
		u.get("/count", "k", "n").want(t, "count", 200, "n", 2, "err", "")
		u.get("/get", "k", "n").want(t, "get of a number", 200, "v", "", "ok", false, "err", "")
		u.get("/count", "k", "color").want(t, "count of a string", 500)

		u.post("/mutate", "k", "m", "f", "a", "v", "1").want(t, "mutate", 200, "err", "")
		u.post("/mutate", "k", "m", "f", "b", "v", "2").want(t, "mutate in place", 200)
		u.get("/map", "k", "m").want(t, "map", 200, "k", "m", "v", map[string]string{"a": "1", "b": "2"}, "err", "")
		u.get("/map", "k", "none").want(t, "map of nothing", 200, "v", map[string]string{})

		u.post("/flash", "v", "saved!").want(t, "flash", 200, "err", "")
		u.get("/flash").want(t, "flash taken", 200, "v", "saved!", "ok", true, "err", "")
		u.get("/flash").want(t, "flash taken before", 200, "v", "", "ok", false)

		u.post("/ns", "app", "shop", "k", "color", "v", "red").want(t, "ns", 200, "k", "color", "err", "")
		u.get("/ns", "app", "shop", "k", "color").want(t, "ns", 200, "v", "red", "ok", true, "err", "")
		u.get("/ns", "app", "blog", "k", "color").want(t, "another ns", 200, "v", "", "ok", false)
		u.get("/get", "k", "color").want(t, "outside of ns", 200, "v", "blue")

		u.get("/race", "n", "16").want(t, "race", 200, "ok", true, "err", "")
		u.get("/count", "k", "race15").want(t, "race", 200, "n", 15)

		// Too much is refused, and what was there stays.
		r := u.post("/put", "k", "color", "size", "20000000").want(t, "put of 20 MB", 500)
		if r.json["error"] == nil || len(r.cookies()) > 0 {
			t.Errorf("put of 20 MB: %s, cookies %q", r.body, r.cookies())
		}
		u.get("/get", "k", "color").want(t, "get after put of 20 MB", 200, "v", "blue")

		u.post("/clear").want(t, "clear", 200, "err", "")
		if u.cookie("__Host-session") != "" || k.server && p.records() != 0 {
			t.Error("a session that lost all its values is still there")
		}
	})
}

func TestAnswers(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		saved := func(u *user, what, v string) {
			t.Helper()
			u.get("/get", "k", "k").want(t, "get after "+what, 200, "v", v, "ok", true)
		}
		// Each on a session that does not exist yet: the cookie must come.
		u := p.user()
		if r := u.get("/status", "code", "204", "k", "k", "v", "1").want(t, "status", 204); r.body != "" {
			t.Errorf("status has a body: %q", r.body)
		}
		saved(u, "status", "1")
		u.get("/status", "code", "404", "k", "k", "v", "2").want(t, "status", 404)
		saved(u, "a status of 404", "2")
		u.get("/status", "code", "503", "k", "k", "v", "3").want(t, "status", 503)
		saved(u, "a status of 503, which discards", "2")

		u = p.user()
		r := u.get("/early", "k", "k", "v", "1").want(t, "early", 200, "err", "")
		if !slices.Equal(r.hints, []int{103}) {
			t.Errorf("early sends the informational statuses %v, want 103", r.hints)
		}
		saved(u, "early", "1")

		u = p.user()
		r = u.get("/big", "n", "100000", "k", "k", "v", "1").want(t, "big", 200)
		if r.body != strings.Repeat("x", 100000) || r.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("big: %d bytes of %s", len(r.body), r.header.Get("Content-Type"))
		}
		saved(u, "big", "1")

		// After the first byte no cookie can be sent: what needs one is
		// refused, and says so.
		r = u.get("/flush", "k", "k", "v", "2").want(t, "flush", 200)
		if r.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("flush: %s", r.header.Get("Content-Type"))
		}
		_, after, ok := strings.Cut(r.body, "err=")
		if !ok || (strings.TrimSpace(after) == "") != k.server {
			t.Errorf("flush answers %q", r.body)
		}
		if k.server {
			saved(u, "flush", "2")
		} else {
			saved(u, "flush, too late for the cookie", "1")
		}
		if r := p.user().get("/flush", "k", "k", "v", "2"); !strings.Contains(r.body, "err="+core.ErrLate.Error()) {
			t.Errorf("flush without a session answers %q", r.body)
		}

		u = p.user()
		r = u.get("/stream", "k", "n", "n", "3").want(t, "stream", 200)
		if r.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("stream: %s", r.header.Get("Content-Type"))
		}
		if k.server {
			if r.body != "data: 1\n\ndata: 2\n\ndata: 3\n\n" {
				t.Errorf("stream answers %q", r.body)
			}
			u.get("/count", "k", "n").want(t, "count after stream", 200, "n", 3)
		} else {
			if !strings.HasPrefix(r.body, "data: 1\n\nevent: error\ndata: ") {
				t.Errorf("stream on a cookie-only store answers %q", r.body)
			}
			u.get("/count", "k", "n").want(t, "count after stream", 200, "n", 1)
		}

		u = p.user()
		u.post("/put", "k", "k", "v", "kept").want(t, "put", 200)
		u.get("/leak", "k", "k", "v", "leaked").want(t, "leak", 200, "ok", true, "err", "")
		p.awaitLog("late change")
		saved(u, "leak", "kept")
	})
}

func TestFailures(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		ways := map[string][]string{"/fail": {"status", "500"}, "/panic": nil, "/error": nil}
		for path, params := range ways {
			what := func(op string) string { return op + " before " + path }
			u := p.user()
			u.post("/put", "k", "k", "v", "old").want(t, "put", 200)

			r := u.post(path, append(params, "k", "k", "v", "new")...).want(t, what("put"), 500)
			if len(r.cookies()) > 0 {
				t.Errorf("%s sets a cookie: %q", what("put"), r.cookies())
			}
			u.get("/get", "k", "k").want(t, "get after "+what("put"), 200, "v", "old")

			u.post(path, append(params, "op", "login", "v", "alice")...).want(t, what("login"), 500)
			u.get("/me").want(t, "me after "+what("login"), 401)

			cookie := u.cookie("__Host-session")
			u.post(path, append(params, "op", "regenerate")...).want(t, what("regenerate"), 500)
			if u.cookie("__Host-session") != cookie {
				t.Errorf("%s replaces the token", what("regenerate"))
			}
			u.get("/get", "k", "k").want(t, "get after "+what("regenerate"), 200, "v", "old")

			u.post(path, append(params, "op", "destroy")...).want(t, what("destroy"), 500)
			u.get("/get", "k", "k").want(t, "get after "+what("destroy"), 200, "ok", false)
			if u.cookie("__Host-session") != "" {
				t.Errorf("%s leaves the cookie in the browser", what("destroy"))
			}
		}
		u := p.user()
		u.post("/fail", "status", "418", "k", "k", "v", "kept").want(t, "fail with 418", 418, "err", "")
		u.get("/get", "k", "k").want(t, "get after a status below 500", 200, "v", "kept")
	})
}

func TestSessions(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		phone, laptop, other := p.user(), p.user(), p.user()
		phone.post("/login", "user", "alice").want(t, "login", 200)
		laptop.post("/login", "user", "alice").want(t, "login", 200)
		other.post("/login", "user", "bob").want(t, "login", 200)
		idOf := func(u *user) string { return u.get("/facts").json["id"].(string) }
		if !k.server {
			for _, r := range []*reply{phone.get("/sessions"), phone.post("/revoke", "id", idOf(laptop)), phone.post("/revoke-others"), p.user().get("/sessions")} {
				r.want(t, "sessions of a store that cannot list", 501)
			}
			return
		}
		p.user().get("/sessions").want(t, "sessions of nobody", 401)
		p.user().post("/revoke-others").want(t, "revoke-others of nobody", 401)
		p.user().post("/revoke", "id", idOf(phone)).want(t, "revoke by nobody", 401)

		list := phone.get("/sessions").want(t, "sessions", 200, "err", "").json["sessions"].([]any)
		if len(list) != 2 {
			t.Fatalf("alice has %d sessions: %v", len(list), list)
		}
		current := map[string]any{}
		for _, entry := range list {
			e := entry.(map[string]any)
			current[e["id"].(string)] = e["current"]
			for _, name := range []string{"created_at", "last_access"} {
				if _, err := time.Parse(time.RFC3339Nano, e[name].(string)); err != nil {
					t.Errorf("sessions: %s: %v", name, err)
				}
			}
		}
		if !jsonEqual(current, map[string]bool{idOf(phone): true, idOf(laptop): false}) {
			t.Errorf("sessions says %v", current)
		}

		phone.post("/revoke", "id", idOf(other)).want(t, "revoke of another's session", 404)
		other.get("/me").want(t, "another's session", 200, "user", "bob")
		phone.post("/revoke", "id", "nonsense").want(t, "revoke of nonsense", 400)
		phone.post("/revoke", "id", idOf(laptop)).want(t, "revoke", 200, "err", "")
		laptop.get("/me").want(t, "me of a revoked session", 401)
		phone.get("/me").want(t, "me", 200)

		laptop.post("/login", "user", "alice").want(t, "login", 200)
		phone.post("/revoke-others").want(t, "revoke-others", 200, "revoked", 1, "err", "")
		laptop.get("/me").want(t, "me of a revoked session", 401)
		phone.post("/revoke", "id", idOf(phone)).want(t, "revoke of the current session", 200)
		if phone.cookie("__Host-session") != "" {
			t.Error("revoking the current session leaves its cookie in the browser")
		}
	})
}

// Two valid sessions under one name: one may have been planted, so neither is
// read, and a logout ends both.
func TestDuplicates(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		a, b := p.user(), p.user()
		a.post("/login", "user", "alice").want(t, "login", 200)
		b.post("/login", "user", "mallory").want(t, "login", 200)
		both := p.user()
		both.header["Cookie"] = []string{"__Host-session=" + a.cookie("__Host-session") + "; __Host-session=" + b.cookie("__Host-session")}
		both.get("/facts").want(t, "two sessions", 200, "user", "", "rejected", "duplicate")
		both.post("/logout").want(t, "logout of two sessions", 200, "revoked", k.revocable)
		if k.revocable {
			a.get("/me").want(t, "the first", 401)
			b.get("/me").want(t, "the second", 401)
		}
	})
}

func TestRejected(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		with := func(cookie string) *user {
			c := p.user()
			c.cookies["__Host-session"] = cookie
			return c
		}
		good := u.cookie("__Host-session")
		with("{}").get("/facts").want(t, "junk", 200, "rejected", "malformed")
		with("A"+good[1:]).get("/facts").want(t, "a forgery", 200, "rejected", "seal", "user", "")
		p.clock.advance(31 * time.Minute)
		with(good).get("/facts").want(t, "an idle session", 200, "rejected", "expired", "user", "")
	})
}

func TestBadRequests(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		for _, bad := range [][]string{
			{"POST", "/login"}, {"POST", "/login", "user", ""},
			{"POST", "/put", "v", "1"}, {"POST", "/put", "k", "k", "size", "-1"}, {"POST", "/put", "k", "k", "size", "many"},
			{"POST", "/put", "k", strings.Repeat("k", 513)}, {"POST", "/put", "k", "\xff"},
			{"GET", "/get"}, {"POST", "/delete"}, {"POST", "/incr"}, {"GET", "/count"}, {"GET", "/map"},
			{"POST", "/mutate", "k", "m"}, {"POST", "/ns", "k", "k"}, {"POST", "/ns", "app", "a b", "k", "k"}, {"GET", "/ns", "app", "a"},
			{"POST", "/idle"}, {"POST", "/idle", "d", "soon"}, {"POST", "/persist", "d", "1"}, {"POST", "/expire-at", "t", "soon"},
			{"GET", "/slow", "ms", "-1"}, {"GET", "/slow", "op", "dance"}, {"GET", "/slow", "op", "write"}, {"GET", "/slow", "op", "login"},
			{"POST", "/fail", "status", "99", "k", "k"}, {"POST", "/fail"}, {"POST", "/panic"}, {"POST", "/error"},
			{"GET", "/status", "code", "103", "k", "k"}, {"GET", "/status"}, {"GET", "/early"}, {"GET", "/flush"}, {"GET", "/big"}, {"GET", "/stream"},
			{"GET", "/stream", "k", "k", "n", "x"}, {"GET", "/race", "n", "0"}, {"GET", "/leak"}, {"POST", "/revoke"},
			{"POST", "/debug/fault"}, {"POST", "/debug/fault", "op", "dance"}, {"POST", "/debug/fault", "op", "all", "mode", "sometimes"},
			{"GET", "/get?k=%zz"},
		} {
			what := strings.Join(bad, " ")
			r := u.do(t.Context(), bad[0], bad[1], bad[2:]...).want(t, what[:min(len(what), 60)], 400)
			if text, _ := r.json["error"].(string); text == "" {
				t.Errorf("%s answers %s", what, r.body)
			}
			if len(r.cookies()) > 0 {
				t.Errorf("%s sets a cookie", what)
			}
		}
		for _, path := range []string{"/nowhere", "/put/", "/login/alice", "/debug"} {
			if r := u.get(path).want(t, path, 404); r.json["error"] == nil {
				t.Errorf("%s answers %s", path, r.body)
			}
		}
		methods := map[string][]string{}
		for _, rt := range routes(true) {
			methods[rt.Path] = append(methods[rt.Path], rt.Method)
		}
		for path, allowed := range methods {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				if !slices.Contains(allowed, method) {
					u.do(t.Context(), method, path).want(t, method+" "+path, 405)
				}
			}
		}
	})
}

// Without the check of routes that change something, the first answer of each
// is not a 403.
func TestCrossSite(t *testing.T) {
	everywhere(t, func(t *testing.T, p *playground, k kind) {
		u := p.user()
		u.header.Set("Sec-Fetch-Site", "cross-site")
		for _, rt := range routes(true) {
			r := u.do(t.Context(), rt.Method, rt.Path)
			if refused := r.status == 403; refused != rt.changes {
				t.Errorf("%s %s from another site: %d", rt.Method, rt.Path, r.status)
			}
		}
		u.header.Set("Sec-Fetch-Site", "same-origin")
		u.post("/login", "user", "alice").want(t, "login from this site", 200)
	})
}
