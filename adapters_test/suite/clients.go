package suite

import (
	"net/http"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// What clients send: several cookies of the name, junk beside them, cookies
// that ended, that are too many, that come by another way.

// cookieLines makes a request carry exactly these Cookie headers.
func cookieLines(lines ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header["Cookie"] = lines }
}

var clients = []scenario{
	{name: "junk beside the right token locks nobody out", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		good := b.value()
		for _, values := range [][]string{{"junk", good}, {good, "junk"}, {"", good}, {good, good}} {
			b.get("/read", b.presents(values...)).is(200, "nobody a=1").silent()
		}
	}},
	{name: "other cookies lock nobody out", needs: cookies, run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		good := cookieName + "=" + b.value()
		for _, lines := range [][]string{
			{"other=" + b.value() + "; " + good},
			{cookieName + "=junk", good},
			{good, "other"},
		} {
			b.get("/read", cookieLines(lines...)).is(200, "nobody a=1").silent()
		}
	}},
	{name: "of two different sessions neither is used, and a logout ends both", run: func(f *fixture) {
		s := f.serve(nil)
		victim, planted := s.browser(), s.browser()
		victim.get("/login?user=alice").sets()
		planted.get("/login?user=mallory").sets()
		both := victim.presents(planted.value(), victim.value())
		victim.get("/read", both).is(200, "nobody").silent()
		if e := f.happened(core.EventRejected); len(e) != 1 || e[0].Reason != core.ReasonDuplicate {
			f.Errorf("rejected: %+v", e)
		}
		victim.thief().get("/logout", both).is(200, "bye").clears()
		if f.can(Revoking) {
			victim.get("/read").is(200, "nobody")
			planted.get("/read").is(200, "nobody")
		}
	}},
	{name: "only the exact name", needs: cookies, run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		for _, line := range []string{
			strings.ToLower(cookieName) + "=" + b.value(),
			`x="a; ` + cookieName + `=` + `junk"`,
			"prefix" + cookieName + "=" + b.value(),
			cookieName + "x=" + b.value(),
		} {
			b.get("/read", cookieLines(line)).is(200, "nobody").silent()
		}
	}},
	{name: "no other way in", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		token := b.value()
		b.keepRaw("")
		b.get("/read?"+cookieName+"="+token).is(200, "nobody").silent()
		b.get("/read", func(r *http.Request) {
			for _, other := range []carriage{byCookie, byHeader} {
				if name, lines := other.header(token); other != f.on.carriage {
					r.Header[name] = lines
				}
			}
			r.Header.Set("Authorization", "Bearer "+token)
		}).is(200, "nobody").silent()
	}},
	{name: "more cookies than any browser sends", needs: cookies, run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		b.get("/read", cookieLines(strings.Repeat("x=y; ", 3000)+cookieName+"="+b.value())).is(200, "nobody").silent()
	}},
	{name: "why a cookie was refused", run: func(f *fixture) {
		var why core.Reason
		s := f.serve(map[string]handler{"/why": func(x *call) { why = x.Rejected(); x.text(200, "ok") }})
		b := s.browser()
		b.get("/why")
		if why != "" {
			f.Errorf("without a cookie: %q", why)
		}
		b.get("/set?a=1").sets()
		b.get("/why")
		if why != "" {
			f.Errorf("with a good one: %q", why)
		}
		f.clock.Advance(time.Hour)
		b.get("/why").silent()
		if why != core.ReasonExpired {
			f.Errorf("with an expired one: %q", why)
		}
		b.keepRaw("not even close")
		b.get("/why").silent()
		if why != core.ReasonMalformed {
			f.Errorf("with junk: %q", why)
		}
	}},
	{name: "a dead cookie is refused in silence", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		dead := b.thief()
		f.clock.Advance(25 * time.Hour)
		forged := b.thief()
		forged.keepRaw(flip(b.value(), 3))
		// The answers are alike: nothing tells an attacker which it was.
		x, y := dead.get("/read").is(200, "nobody").silent(), forged.get("/read").is(200, "nobody").silent()
		for _, h := range []http.Header{x.header, y.header} {
			h.Del("Date")
		}
		for name := range x.header {
			if x.header.Get(name) != y.header.Get(name) {
				f.Errorf("%s: %q and %q", name, x.header.Get(name), y.header.Get(name))
			}
		}
	}},
	{name: "a secret is replaced", run: func(f *fixture) {
		next := core.GenerateSecret()
		store := f.manager.Store()
		both := f.newManager(store, func(c *core.Config) { c.Secrets = []core.Secret{next, testSecret} })
		only := f.newManager(store, func(c *core.Config) { c.Secrets = []core.Secret{next} })
		serve := func(m *core.Manager) *site {
			return f.serve(nil, func(a *app) { a.managers = []*core.Manager{m} })
		}
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		old, writer := b.thief(), b.thief()
		writer.site = serve(both)
		writer.get("/set?a=1&b=2").is(200, "set").sets() // sealed anew, in the answer that saves
		writer.site = serve(only)
		writer.get("/read").is(200, "nobody a=1 b=2").silent()
		b.site = serve(both)
		seen := b.get("/read").sets().body // sealed anew, though nothing was saved
		b.get("/read").is(200, seen).silent()
		b.site = serve(only)
		b.get("/read").is(200, seen).silent()
		old.site = b.site
		old.get("/read").is(200, "nobody").silent()
	}},
	{name: "a client that hangs up does not stop a logout", needs: Revoking, run: func(f *fixture) {
		g := newGate()
		left, done := make(chan struct{}), make(chan struct{})
		s := f.serve(map[string]handler{"/logout-slowly": func(x *call) {
			defer close(done)
			x.User()
			ctx := x.r.Context()
			g.pass()
			<-ctx.Done()
			close(left)
			if err := x.Destroy(); err != nil {
				f.Errorf("Destroy: %v", err)
			}
		}})
		b := s.browser()
		b.get("/login?user=alice").sets()
		conn, _ := b.dial("/logout-slowly")
		g.reached(f)
		close(g.open)
		conn.Close()
		await(f, left)
		await(f, done)
		b.get("/read").is(200, "nobody")
	}},
	{name: "a cookie too large is never sent", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/grow": func(x *call) {
			x.Set("big", strings.Repeat("x", 5000))
			x.text(200, "saved")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		if f.can(Listing) {
			b.get("/grow").is(200, "saved").silent()
			return
		}
		b.get("/grow").refused(http.StatusInternalServerError)
		if e := f.happened(core.EventCommitFailed); len(e) != 1 || !strings.Contains(e[0].Err.Error(), "4096") && !strings.Contains(e[0].Err.Error(), "at most") {
			f.Errorf("%+v", e)
		}
		b.get("/read").is(200, "nobody a=1")
	}},
}
