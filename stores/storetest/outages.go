package storetest

import (
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
)

// outages are the cases about requests under a real manager whose store fails:
// before a call, after it, or by giving no answer.
var outages = []testcase{
	{"load", "An outage is never mistaken for being logged out: the request fails, and the session is there when the store is back.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			b := t.browser(t.unreliable(f))
			b.do(login("alice")).ok("login")
			f.arrange(load, what)
			b.do(look).refused("a read while Load fails", http.StatusServiceUnavailable)
			b.do(func(s *core.Session) { left.Set(s, "l") }).refused("a write while Load fails", http.StatusServiceUnavailable)
			b.do(login("alice")).refused("a login while Load fails", http.StatusServiceUnavailable)
			b.do(logout).refused("a logout while Load fails", http.StatusServiceUnavailable)
			f.arrange(load, sound)
			b.sees("with the store back", view{user: "alice"})
		})
	}},
	{"no-session", "A request that does not use its session is not touched by an outage.", func(t *trial) {
		f := &faulty{t: t, inner: t.store}
		b := t.browser(t.unreliable(f))
		b.do(login("alice")).ok("login")
		for _, v := range []verb{load, create, update, touch, destroy} {
			f.arrange(v, failBefore)
		}
		b.do(nothing).ok("a request without use of the session").silent("a request without use of the session")
	}},
	{"create", "No false success: a session that could not be stored is not announced, and no cookie is set for it.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			b := t.browser(t.unreliable(f))
			f.arrange(create, what)
			b.do(func(s *core.Session) { left.Set(s, "l") }).refused("a first value while Create fails", http.StatusServiceUnavailable)
			b.do(login("alice")).refused("a login while Create fails", http.StatusServiceUnavailable)
			f.arrange(create, sound)
			b.sees("with the store back", view{})
			b.do(login("alice")).ok("a login with the store back")
			b.sees("logged in", view{user: "alice"})
		})
	}},
	{"update", "All or nothing: if the changes could not be stored, the answer is an error, and the session is as it was or, if only the store's answer was lost, as it should be.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			b := t.browser(t.unreliable(f))
			b.do(login("alice")).ok("login")
			b.do(func(s *core.Session) { left.Set(s, "old") }).ok("a value")
			f.arrange(update, what)
			b.do(func(s *core.Session) {
				left.Set(s, "new")
				right.Set(s, "new")
			}).refused("a write while Update fails", http.StatusServiceUnavailable)
			f.arrange(update, sound)
			want := view{user: "alice", left: "old"}
			if what == failAfter {
				want = view{user: "alice", left: "new", right: "new"}
			}
			b.sees("with the store back", want)
			b.do(func(s *core.Session) { hits.Update(s, func(n int) int { return n + 1 }) }).ok("a write with the store back")
			want.hits = 1
			b.sees("written", want)
		})
	}},
	{"login", "All or nothing: a login that could not be stored logs nobody in with the old token.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			m := t.unreliable(f)
			b := t.browser(m)
			b.do(func(s *core.Session) { left.Set(s, "l") }).ok("an anonymous value")
			f.arrange(update, what)
			b.do(login("alice")).refused("a login while Update fails", http.StatusServiceUnavailable)
			f.arrange(update, sound)
			if what == failAfter {
				t.wantDead("the old token of a login that was stored", m, b.jar())
			} else {
				b.sees("with the store back", view{left: "l"})
			}
			b.do(login("alice")).ok("a login with the store back")
			if got := b.view(); got.user != "alice" {
				t.Errorf("after a login with the store back: the session is %v, want alice", got)
			}
		})
	}},
	{"logout", "A logout that could not be stored is an error, and leaves the cookie, so that it can be tried again.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			m := t.unreliable(f)
			b := t.browser(m)
			b.do(login("alice")).ok("login")
			f.arrange(destroy, what)
			b.do(logout).refused("a logout while Delete fails", http.StatusServiceUnavailable)
			f.arrange(destroy, sound)
			cookie := b.jar()
			if what == failAfter {
				t.wantDead("a session whose logout was stored", m, cookie)
			} else {
				b.sees("with the store back", view{user: "alice"})
			}
			b.do(logout).ok("a logout with the store back")
			t.wantDead("after the logout", m, cookie)
		})
	}},
	{"touch", "An access time that could not be stored fails no request, and the next one tries again.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			b := t.browser(t.unreliable(f))
			b.do(login("alice")).ok("login")
			f.arrange(touch, what)
			t.clock.advance(29 * time.Minute)
			b.sees("while Touch fails", view{user: "alice"})
			f.arrange(touch, sound)
			b.sees("with the store back", view{user: "alice"})
			t.clock.advance(29 * time.Minute)
			b.sees("beyond the idle limit of the first access time", view{user: "alice"})
		})
	}},
	{"emptied", "A session that lost its last value is over even if its record could not be deleted.", func(t *trial) {
		t.eachFault(func(t *trial, f *faulty, what fault) {
			f.inner = struct{ core.Store }{t.store} // without DeleteVersion: Update, then Delete
			m := t.unreliable(f)
			b := t.browser(m)
			b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
			cookie := b.jar()
			f.arrange(destroy, what)
			b.do(func(s *core.Session) { left.Delete(s) }).ok("a deletion while Delete fails")
			if b.jar() != "" {
				t.Error("the browser still holds the cookie")
			}
			t.wantDead("with the record still there", m, cookie)
		})
	}},
	{"partial", "A store that fails for a while loses nothing that was acknowledged before or after.", func(t *trial) {
		f := &faulty{t: t, inner: t.store}
		b := t.browser(t.unreliable(f))
		b.do(login("alice")).ok("login")
		acknowledged := 0
		for i := range 30 {
			f.arrange(update, []fault{sound, failBefore, sound}[i%3])
			a := b.do(func(s *core.Session) { hits.Update(s, func(n int) int { return n + 1 }) })
			if a.status == http.StatusOK {
				acknowledged++
			}
		}
		f.arrange(update, sound)
		b.sees("afterwards", view{user: "alice", hits: acknowledged})
		if acknowledged != 20 {
			t.Errorf("%d of 20 sound updates were acknowledged", acknowledged)
		}
	}},
}

// unreliable returns a manager over a store that may hang.
func (t *trial) unreliable(f *faulty) *core.Manager {
	t.Helper()
	return t.manager(f, func(c *core.Config) { c.StoreTimeout = glimpse })
}

// eachFault runs fn with every way to fail.
func (t *trial) eachFault(fn func(t *trial, f *faulty, what fault)) {
	t.Helper()
	for _, way := range []struct {
		what fault
		name string
	}{
		{failBefore, "failing before the call"},
		{failAfter, "failing after the call"},
		{hang, "giving no answer"},
	} {
		func() {
			failed := t.Failed()
			defer func() {
				if t.Failed() && !failed {
					t.Logf("that was with the store %s", way.name)
				}
			}()
			fn(t, &faulty{t: t, inner: t.store}, way.what)
		}()
	}
}
