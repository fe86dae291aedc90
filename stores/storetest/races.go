package storetest

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/sessions/core"
)

// The cases of this file run requests through a real manager, two of them
// where it matters: as two processes that share a store.

// endings are the cases about requests that outlive their session or their
// token. They hold for carriers that can revoke, too.
var endings = []testcase{
	{"lifecycle", "A session is what its requests made of it, on every process that shares the store.", func(t *trial) {
		one, two := t.manager(t.store), t.manager(t.store)
		b := t.browser(one)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("the first value")
		anonymous := b.jar()
		id := b.sees("with a value", view{left: "l"})
		b.m = two
		if got := b.sees("on the other process", view{left: "l"}); got != id {
			t.Errorf("the session's ID on the other process is %v, want %v", got, id)
		}
		b.do(login("alice")).ok("login")
		b.m = one
		if got := b.sees("logged in", view{left: "l", user: "alice"}); got != id {
			t.Errorf("the session's ID after the login is %v, want %v", got, id)
		}
		t.wantDead("the cookie from before the login", one, anonymous)
		t.wantDead("the cookie from before the login", two, anonymous)
		loggedIn := b.jar()
		b.m = two
		b.do(logout).ok("logout")
		if b.jar() != "" {
			t.Error("the logout left the cookie in the browser")
		}
		t.wantDead("the cookie after the logout", one, loggedIn)
		t.wantDead("the cookie after the logout", two, loggedIn)
		b.do(func(s *core.Session) { right.Set(s, "r") }).ok("a new session")
		if got := b.sees("a new session", view{right: "r"}); got == id {
			t.Error("the new session has the old one's ID")
		}
	}},
	{"zombie-write", "Logout wins: a slower request cannot bring the session back, and is told so with 409.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		slow := b.begin(func(s *core.Session) { left.Set(s, "early") })
		slower := b.begin(look)
		b.do(logout).ok("logout")
		slow.end(nothing).refused("a change made before the logout, saved after it", http.StatusConflict)
		slower.end(func(s *core.Session) { left.Set(s, "late") }).refused("a change made after the logout", http.StatusConflict)
		t.wantDead("the cookie afterwards", m, cookie)
		if b.jar() != "" {
			t.Error("the browser holds a cookie after the logout")
		}
	}},
	{"zombie-write-elsewhere", "Logout wins across processes.", func(t *trial) {
		one, two := t.manager(t.store), t.manager(t.store)
		b := t.browser(one)
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		slow := b.begin(func(s *core.Session) { left.Set(s, "early") })
		t.with(two, cookie).do(logout).ok("logout on the other process")
		slow.end(nothing).refused("a change saved after the logout", http.StatusConflict)
		t.wantDead("the cookie afterwards", one, cookie)
		t.wantDead("the cookie afterwards", two, cookie)
	}},
	{"zombie-read", "Logout wins: a slower request that only reads, and whose access time is due to be stored, brings nothing back and sets no cookie.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		t.clock.advance(touchInterval + time.Second)
		slow := b.begin(look)
		b.do(logout).ok("logout")
		slow.end(look).ok("the slower read").silent("the slower read")
		t.wantDead("the cookie afterwards", m, cookie)
	}},
	{"login-race", "Login wins: a slower request with the token from before it is refused with 409, and leaves the new cookie alone.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("an anonymous value")
		planted := b.jar()
		slow := b.begin(func(s *core.Session) { left.Set(s, "early") })
		slower := b.begin(look)
		b.do(login("alice")).ok("login")
		slow.end(nothing).refused("a change made before the login, saved after it", http.StatusConflict)
		slower.end(func(s *core.Session) { right.Set(s, "late") }).refused("a change made after the login", http.StatusConflict)
		b.sees("afterwards", view{user: "alice", left: "l"})
		t.wantDead("the cookie from before the login", m, planted)
	}},
	{"login-read-race", "Login wins: a slower read with the token from before it does not bring that back.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("an anonymous value")
		planted := b.jar()
		t.clock.advance(touchInterval + time.Second)
		slow := b.begin(look)
		b.do(login("alice")).ok("login")
		slow.end(look).ok("the slower read").silent("the slower read")
		b.sees("afterwards", view{user: "alice", left: "l"})
		t.wantDead("the cookie from before the login", m, planted)
	}},
	{"login-login", "A double click on the login button logs in: both requests succeed, and each one's cookie works.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("an anonymous value")
		planted := b.jar()
		first, second := t.with(m, planted), t.with(m, planted)
		v1, v2 := first.begin(login("alice")), second.begin(login("alice"))
		v1.end(nothing).ok("one login")
		v2.end(nothing).ok("the other login")
		for _, b := range []*browser{first, second} {
			if got := b.view(); got.user != "alice" {
				t.Errorf("after both logins: a request finds %v, want alice", got)
			}
		}
		if first.jar() == second.jar() {
			t.Error("both logins were given the same cookie")
		}
		t.wantDead("the cookie from before the logins", m, planted)
	}},
	{"login-logout", "A login that meets a logout begins a new session, and the old one stays dead.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		old := b.jar()
		id := b.view().id
		again := t.with(m, old)
		slow := again.begin(login("alice"))
		b.do(logout).ok("logout")
		slow.end(nothing).ok("the slower login")
		if got := again.sees("after the slower login", view{user: "alice"}); got == id {
			t.Error("the slower login brought the old session back")
		}
		t.wantDead("the cookie from before the logout", m, old)
	}},
	{"regenerate-race", "A token is replaced once: of two requests that do, the slower is refused with 409.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
		old := b.jar()
		slow := b.begin(func(s *core.Session) { s.Regenerate() })
		b.do(func(s *core.Session) { s.Regenerate() }).ok("Regenerate")
		slow.end(nothing).refused("the slower Regenerate", http.StatusConflict)
		b.sees("afterwards", view{left: "l"})
		t.wantDead("the replaced token", m, old)
	}},
	{"emptied-after-login", "Login wins: a slower request that removes the last value of the session from before it does not end the new one.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("an anonymous value")
		slow := b.begin(func(s *core.Session) { left.Delete(s) })
		b.do(login("alice")).ok("login")
		slow.end(nothing).refused("the slower deletion", http.StatusConflict)
		b.sees("afterwards", view{user: "alice", left: "l"})
	}},
	{"logout-logout", "Logging out twice is no error, and only the first clears the cookie.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		old := b.jar()
		slow := t.with(m, old).begin(look)
		b.do(logout).ok("logout")
		b.do(login("bob")).ok("another login")
		slow.end(logout).ok("the slower logout").silent("the slower logout")
		b.sees("afterwards", view{user: "bob"})
		t.wantDead("the first cookie", m, old)
	}},
}

// merging are the cases about requests that change one session at once.
var merging = []testcase{
	{"lost-update", "No lost updates: two requests that change different keys both persist.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { hits.Set(s, 1) }).ok("a value")
		first := b.begin(func(s *core.Session) { left.Set(s, "l") })
		second := b.begin(func(s *core.Session) { right.Set(s, "r") })
		third := b.begin(func(s *core.Session) { hits.Delete(s) })
		first.end(nothing).ok("one change")
		second.end(nothing).ok("another change")
		third.end(nothing).ok("a deletion")
		b.sees("afterwards", view{left: "l", right: "r"})
	}},
	{"lost-updates", "No lost updates, with many requests at once on two processes.", func(t *trial) {
		ms := []*core.Manager{t.manager(t.store), t.manager(t.store)}
		b := t.browser(ms[0])
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		const n = 24
		changed := gather(n)
		together(n, func(i int) {
			a := t.with(ms[i%2], cookie).do(func(s *core.Session) {
				s.Set(fmt.Sprint("key ", i), i)
				changed() // so that all but one meet a conflict
			})
			if a.status != http.StatusOK {
				t.Errorf("request %d: status %d, want 200", i, a.status)
			}
		})
		b.do(func(s *core.Session) {
			for i := range n {
				if v, ok := s.Get(fmt.Sprint("key ", i)); !ok || v != int64(i) {
					t.Errorf("key %d is %v, want %d", i, v, i)
				}
			}
		}).ok("a request that reads")
	}},
	{"counter", "Update is atomic: 100 requests that count end at exactly 100.", func(t *trial) {
		ms := []*core.Manager{t.manager(t.store), t.manager(t.store)}
		b := t.browser(ms[0])
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		const n = 100
		changed := gather(n)
		together(n, func(i int) {
			a := t.with(ms[i%2], cookie).do(func(s *core.Session) {
				hits.Update(s, func(n int) int { return n + 1 })
				changed()
			})
			if a.status != http.StatusOK {
				t.Errorf("request %d: status %d, want 200", i, a.status)
			}
		})
		b.sees("after 100 requests", view{user: "alice", hits: n})
	}},
	{"take-once", "Pop gives a value to one request only.", func(t *trial) {
		ms := []*core.Manager{t.manager(t.store), t.manager(t.store)}
		b := t.browser(ms[0])
		b.do(login("alice")).ok("login")
		for range 3 {
			b.do(func(s *core.Session) { once.Set(s, "prize") }).ok("a value")
			cookie := b.jar()
			const n = 50
			var mu sync.Mutex
			taken := 0
			popped := gather(n)
			together(n, func(i int) {
				var got string
				a := t.with(ms[i%2], cookie).do(func(s *core.Session) {
					got, _ = once.Pop(s)
					popped() // so that all have seen the value
				})
				switch {
				case a.status == http.StatusOK && got == "prize":
					mu.Lock()
					taken++
					mu.Unlock()
				case a.status == http.StatusOK && got == "", a.status == http.StatusConflict:
				default:
					t.Errorf("Pop: status %d and %q", a.status, got)
				}
			})
			if taken != 1 {
				t.Errorf("%d requests were given the value, want 1", taken)
			}
			b.sees("afterwards", view{user: "alice"})
		}
	}},
	{"emptied", "A session that loses its last value ends, and its cookie with it.", func(t *trial) {
		for _, store := range t.plainToo() {
			m := t.manager(store)
			b := t.browser(m)
			b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
			cookie, id := b.jar(), b.view().id
			b.do(func(s *core.Session) { left.Delete(s) }).ok("a deletion")
			if b.jar() != "" {
				t.Error("the browser still holds the cookie")
			}
			t.wantDead("the cookie", m, cookie)
			t.wantExpired("the record", id)
		}
	}},
	{"emptied-then-set", "A change that comes too late for a session which lost its last value is refused with 409.", func(t *trial) {
		for _, store := range t.plainToo() {
			m := t.manager(store)
			b := t.browser(m)
			b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
			cookie := b.jar()
			slow := b.begin(func(s *core.Session) { right.Set(s, "r") })
			b.do(func(s *core.Session) { left.Delete(s) }).ok("a deletion")
			slow.end(nothing).refused("the slower change", http.StatusConflict)
			t.wantDead("the cookie", m, cookie)
		}
	}},
	{"set-then-emptied", "A session that one request empties while another adds to it lives on with what was added.", func(t *trial) {
		for _, store := range t.plainToo() {
			m := t.manager(store)
			b := t.browser(m)
			b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
			slow := b.begin(func(s *core.Session) { left.Delete(s) })
			b.do(func(s *core.Session) { right.Set(s, "r") }).ok("a change")
			slow.end(nothing).ok("the slower deletion").silent("the slower deletion")
			b.sees("afterwards", view{right: "r"})
		}
	}},
	{"expired-meanwhile", "A session that expires during a request refuses its changes with 409, and is not prolonged.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		write := b.begin(func(s *core.Session) { left.Set(s, "l") })
		t.clock.advance(touchInterval + time.Second)
		read := t.with(m, cookie).begin(look)
		t.clock.advance(24 * time.Hour)
		write.end(nothing).refused("the slower change", http.StatusConflict)
		read.end(look).silent("the slower read")
		t.wantDead("the cookie", m, cookie)
	}},
	{"kept-alive", "A session that is used does not reach its idle limit, and one that is not used does.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		for range 30 { // of 4 minutes, so four idle limits
			t.clock.advance(touchInterval + time.Minute)
			b.sees("in use", view{user: "alice"})
		}
		t.clock.advance(31 * time.Minute)
		t.wantDead("the cookie after the idle limit", m, cookie)
	}},
	{"big", "A session may hold as much as Config.MaxBytes allows.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		text := make([]byte, 60<<10)
		for i := range text {
			text[i] = 'a' + byte(i%26)
		}
		b.do(func(s *core.Session) { left.Set(s, string(text)) }).ok("a big value")
		b.sees("with a big value", view{left: string(text)})
	}},
}

// plainToo returns the store, and the store without its optional powers if it
// can delete by version: then the manager has two ways to end a session.
func (t *trial) plainToo() []core.Store {
	stores := []core.Store{t.store}
	if has[core.VersionDeleter](t.store) {
		stores = append(stores, struct{ core.Store }{t.store})
	}
	return stores
}

// revoking are the cases about ending the sessions of a user. They need a
// [core.UserLister].
var revoking = []testcase{
	{"revoke-user", "RevokeUser ends every session of the user, wherever it was begun, and no other.", func(t *trial) {
		one, two := t.manager(t.store), t.manager(t.store)
		var cookies []string
		var kept core.ID
		bob := t.browser(one)
		bob.do(login("bob")).ok("login")
		for i := range 6 {
			b := t.browser([]*core.Manager{one, two}[i%2])
			b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
			b.do(login("alice")).ok("login")
			cookies = append(cookies, b.jar())
			kept = b.view().id
		}
		infos, err := two.UserSessions(t.ctx, "alice")
		if err != nil || len(infos) != 6 {
			t.Fatalf("UserSessions: %d sessions, %v, want 6", len(infos), err)
		}
		if n, err := one.RevokeUser(t.ctx, "alice", kept); n != 5 || err != nil {
			t.Errorf("RevokeUser: %d, %v, want 5", n, err)
		}
		for _, cookie := range cookies[:5] {
			t.wantDead("a revoked session", two, cookie)
		}
		t.with(two, cookies[5]).sees("the excepted session", view{left: "l", user: "alice"})
		bob.sees("another user's session", view{user: "bob"})
		if n, err := two.RevokeUser(t.ctx, "alice"); n != 1 || err != nil {
			t.Errorf("RevokeUser of the rest: %d, %v, want 1", n, err)
		}
		t.wantDead("the last one", one, cookies[5])
	}},
	{"revoke-during-login", "Revoking a user ends every session whose login was answered before, and a login that is answered later stands alone.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		old := b.jar()
		write := t.with(m, old).begin(func(s *core.Session) { left.Set(s, "l") })
		again := t.with(m, old)
		relogin := again.begin(login("alice"))
		fresh := t.browser(m)
		newLogin := fresh.begin(func(s *core.Session) {
			right.Set(s, "r")
			s.Login("alice")
		})
		if n, err := m.RevokeUser(t.ctx, "alice"); n != 1 || err != nil {
			t.Errorf("RevokeUser: %d, %v, want 1", n, err)
		}
		write.end(nothing).refused("a change of a revoked session", http.StatusConflict)
		relogin.end(nothing).ok("a login from a revoked session")
		newLogin.end(nothing).ok("a first login")
		t.wantDead("the revoked session", m, old)
		again.sees("the login from the revoked session", view{user: "alice"})
		fresh.sees("the first login", view{user: "alice", right: "r"})
		if n, err := m.RevokeUser(t.ctx, "alice"); n != 2 || err != nil {
			t.Errorf("RevokeUser of both: %d, %v, want 2", n, err)
		}
		t.wantDead("the login from the revoked session", m, again.jar())
		t.wantDead("the first login", m, fresh.jar())
	}},
	{"revoke-under-load", "After a RevokeUser that began when all logins had been answered, none of them works, whatever ran in between.", func(t *trial) {
		ms := []*core.Manager{t.manager(t.store), t.manager(t.store)}
		var mu sync.Mutex
		var cookies []string
		together(10, func(i int) {
			m := ms[i%2]
			if i == 0 {
				for range 5 {
					if _, err := m.RevokeUser(t.ctx, "alice"); err != nil {
						t.Errorf("RevokeUser: %v", err)
					}
				}
				return
			}
			b := t.browser(m)
			for range 3 {
				if a := b.do(login("alice")); a.status != http.StatusOK {
					t.Errorf("login: status %d, want 200", a.status)
					return
				}
				mu.Lock()
				cookies = append(cookies, b.jar())
				mu.Unlock()
				b.do(func(s *core.Session) { left.Set(s, "l") }) // 200 or 409
			}
		})
		if _, err := ms[0].RevokeUser(t.ctx, "alice"); err != nil {
			t.Fatalf("RevokeUser: %v", err)
		}
		for _, cookie := range cookies {
			t.wantDead("a login before the last RevokeUser", ms[1], cookie)
		}
		infos, err := ms[1].UserSessions(t.ctx, "alice")
		if err != nil || len(infos) != 0 {
			t.Errorf("UserSessions: %d sessions, %v, want none", len(infos), err)
		}
	}},
}

// exclusive are the cases about exclusive mode. They need a [core.Locker].
var exclusive = []testcase{
	{"turns", "In exclusive mode requests use a session in turns: to read and then write loses nothing.", func(t *trial) {
		change := func(c *core.Config) { c.Exclusive, c.LockTimeout = true, time.Minute }
		ms := []*core.Manager{t.manager(t.store, change), t.manager(t.store, change)}
		b := t.browser(ms[0])
		b.do(login("alice")).ok("login")
		cookie := b.jar()
		var inside atomic.Int32
		together(20, func(i int) {
			a := t.with(ms[i%2], cookie).do(func(s *core.Session) {
				n := hits.GetOr(s, 0)
				if n := inside.Add(1); n > 1 {
					t.Errorf("%d requests use the session", n)
				}
				runtime.Gosched()
				hits.Set(s, n+1)
				inside.Add(-1)
			})
			if a.status != http.StatusOK {
				t.Errorf("request %d: status %d, want 200", i, a.status)
			}
		})
		b.sees("after 20 requests", view{user: "alice", hits: 20})
	}},
	{"timeout", "In exclusive mode a request that waits too long is answered with 503.", func(t *trial) {
		m := t.manager(t.store, func(c *core.Config) { c.Exclusive, c.LockTimeout = true, time.Minute })
		hasty := t.manager(t.store, func(c *core.Config) { c.Exclusive, c.LockTimeout = true, glimpse })
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		slow := b.begin(look)
		t.with(hasty, b.jar()).do(look).refused("a request that waited too long", http.StatusServiceUnavailable)
		slow.end(func(s *core.Session) { left.Set(s, "l") }).ok("the request that held the session")
		b.sees("afterwards", view{user: "alice", left: "l"})
	}},
}
