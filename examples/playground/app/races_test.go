package app

import (
	"context"
	"maps"
	"slices"
	"testing"
)

// slow sends a slow request and returns once it has loaded the session and
// sleeps. Then finish lets it go on and returns its answer.
func (u *user) slow(params ...string) (finish func() *reply) {
	u.p.t.Helper()
	done := u.async("GET", "/slow", append([]string{"ms", "1"}, params...)...)
	select {
	case leave := <-u.p.gate.came:
		return func() *reply {
			close(leave)
			return <-done
		}
	case r := <-done:
		u.p.t.Fatalf("a slow request was answered before it slept: %d %s", r.status, r.body)
		return nil
	}
}

// onAdapters runs a test on every adapter with the memory store.
func onAdapters(t *testing.T, test func(t *testing.T, p *playground), args ...string) {
	for _, adapter := range slices.Sorted(maps.Keys(adapters)) {
		t.Run(adapter, func(t *testing.T) {
			t.Parallel()
			test(t, start(t, append([]string{"-adapter", adapter, "-debug"}, args...)...))
		})
	}
}

// A request that was under way when its session ended can neither save nor
// report a success. Fails if the store's Update creates what is gone.
func TestSlowWriteAndLogout(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		for _, op := range []string{"write", "incr", "regenerate"} {
			u := p.user()
			u.post("/login", "user", "alice").want(t, "login", 200)
			tab := u.copy()
			finish := tab.slow("op", op, "k", "k", "v", "1")
			u.post("/logout").want(t, "logout", 200)
			r := finish().want(t, op+" after logout", 409)
			if r.json["error"] == nil || len(r.cookies()) > 0 {
				t.Errorf("%s after logout answers %s and sets %q", op, r.body, r.cookies())
			}
			tab.get("/me").want(t, "me after "+op, 401)
		}
		if n := p.records(); n != 0 {
			t.Errorf("%d sessions came back", n)
		}
		// A request that changed nothing is answered normally.
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		finish := u.copy().slow("op", "read")
		u.post("/logout").want(t, "logout", 200)
		finish().want(t, "read after logout", 200, "ok", true)
	})
}

// On a cookie-only store with a revocation list, the list is what refuses it.
func TestSlowWriteAndLogoutRevocable(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		finish := u.copy().slow("op", "write", "k", "k", "v", "1")
		u.post("/logout").want(t, "logout", 200, "revoked", true)
		if r := finish().want(t, "write after logout", 409); len(r.cookies()) > 0 {
			t.Errorf("a write after logout sets %q", r.cookies())
		}
	}, "-store", "cookie", "-dsn", "revocable")
}

func TestSlowWriteAndRotation(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		for _, rotate := range [][]string{{"/regenerate"}, {"/login", "user", "alice"}} {
			u := p.user()
			u.post("/put", "k", "k", "v", "old").want(t, "put", 200)
			tab := u.copy()
			finish := tab.slow("op", "write", "k", "k", "v", "new")
			u.post(rotate[0], rotate[1:]...).want(t, rotate[0], 200)
			finish().want(t, "write after "+rotate[0], 409)
			u.get("/get", "k", "k").want(t, "get", 200, "v", "old")
			tab.get("/facts").want(t, "the token before "+rotate[0], 200, "rejected", "rotated")
		}
	})
}

// Two requests that change different keys both persist; of the same number
// none loses a count.
func TestSlowWrites(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/put", "k", "first", "v", "0").want(t, "put", 200)
		a := u.slow("op", "write", "k", "left", "v", "1")
		b := u.slow("op", "write", "k", "right", "v", "2")
		a().want(t, "write", 200, "ok", true, "err", "")
		b().want(t, "write", 200, "ok", true, "err", "")
		u.get("/get", "k", "left").want(t, "left", 200, "v", "1")
		u.get("/get", "k", "right").want(t, "right", 200, "v", "2")

		a = u.slow("op", "incr", "k", "n")
		b = u.slow("op", "incr", "k", "n")
		u.post("/incr", "k", "n").want(t, "incr", 200)
		a().want(t, "incr", 200)
		b().want(t, "incr", 200)
		u.get("/count", "k", "n").want(t, "count", 200, "n", 3)
	})
}

// A one-time value goes to one request.
func TestSlowPops(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/flash", "v", "once").want(t, "flash", 200)
		a := u.slow("op", "pop")
		b := u.slow("op", "pop")
		a().want(t, "the first pop", 200, "ok", true, "v", "once")
		if r := b(); r.status != 409 {
			t.Errorf("the second pop answers %d %s", r.status, r.body)
		}
	})
}

// A login owes nothing to the session that it found: a double click logs in.
func TestSlowLogins(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/put", "k", "k", "v", "1").want(t, "put", 200)
		first, second := u.copy(), u.copy()
		finish := second.slow("op", "login", "v", "alice")
		first.post("/login", "user", "alice").want(t, "login", 200)
		if r := finish().want(t, "the slower login", 200); len(r.cookies()) != 1 {
			t.Errorf("the slower login sets %q", r.cookies())
		}
		first.get("/me").want(t, "me", 200, "user", "alice")
		second.get("/me").want(t, "me", 200, "user", "alice")
	})
}

// A logout that loses to a rotation ends the rotated session too: it is the
// same record.
func TestSlowLogout(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		finish := u.copy().slow("op", "destroy")
		u.post("/regenerate").want(t, "regenerate", 200)
		finish().want(t, "logout", 200, "ok", true)
		u.get("/me").want(t, "me", 401)
	})
}

// Hanging up does not skip a logout.
func TestHangUp(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		copied := u.copy()
		ctx, hangUp := context.WithCancel(t.Context())
		done := make(chan *reply, 1)
		go func() { done <- u.do(ctx, "GET", "/slow", "ms", "1", "op", "destroy") }()
		leave := <-p.gate.came
		hangUp()
		if r := <-done; r != nil {
			t.Fatalf("an answer to nobody: %s", r.body)
		}
		close(leave)
		p.awaitLog("event=destroyed")
		copied.get("/me").want(t, "me", 401)
	})
}

// In exclusive mode no request meets a version that it did not load. Fails
// without the lock, if not every time.
func TestExclusive(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/put", "k", "k").want(t, "put", 200)
		const n = 20
		var answers []<-chan *reply
		for range n {
			answers = append(answers, u.async("POST", "/incr", "k", "n"))
		}
		seen := map[float64]bool{}
		for _, a := range answers {
			seen[(<-a).want(t, "incr", 200).json["n"].(float64)] = true
		}
		if len(seen) != n {
			t.Errorf("%d requests saw %d different numbers", n, len(seen))
		}
	}, "-exclusive")
}
