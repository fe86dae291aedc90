package app

import (
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// A store that fails is a 503 and never a logout or a success, on every
// adapter: promise 6.
func TestStoreFails(t *testing.T) {
	onAdapters(t, func(t *testing.T, p *playground) {
		u := p.user()
		u.post("/login", "user", "alice").want(t, "login", 200)
		u.post("/put", "k", "k", "v", "old").want(t, "put", 200)

		unavailable := func(r *reply, what string) {
			t.Helper()
			r.want(t, what, 503)
			if r.json["error"] == nil || len(r.json) != 1 || len(r.cookies()) > 0 {
				t.Errorf("%s answers %s and sets %q", what, r.body, r.cookies())
			}
		}
		for _, mode := range []string{"error", "after"} {
			p.fault("load", mode, "1")
			unavailable(u.get("/me"), "me while load fails: "+mode)
			u.get("/me").want(t, "me afterwards", 200, "user", "alice")

			p.fault("create", mode, "1")
			unavailable(p.user().post("/put", "k", "k", "v", "1"), "put while create fails: "+mode)
		}
		p.fault("update", "error", "1")
		unavailable(u.post("/put", "k", "k", "v", "new"), "put while update fails")
		u.get("/get", "k", "k").want(t, "get afterwards", 200, "v", "old")
		p.fault("update", "after", "1")
		unavailable(u.post("/put", "k", "k", "v", "new"), "put whose update seems to fail")

		p.fault("delete", "error", "1")
		unavailable(u.post("/logout"), "logout while delete fails")
		u.get("/me").want(t, "me after a logout that failed", 200, "user", "alice")

		// A touch that fails is tried again by the next request.
		p.clock.advance(4 * time.Minute)
		p.fault("touch", "error", "1")
		before := p.calls()["touch"].(float64)
		u.get("/me").want(t, "me while touch fails", 200)
		u.get("/me").want(t, "me afterwards", 200)
		u.get("/me").want(t, "me touched", 200)
		if n := p.calls()["touch"].(float64) - before; n != 2 {
			t.Errorf("%v touches, want one that failed and one more", n)
		}

		p.fault("all", "error", "1000")
		unavailable(u.get("/me"), "me while all fail")
		unavailable(u.get("/sessions"), "sessions while all fail")
		u.get("/touch").want(t, "a page without a session while all fail", 200)
		u.get("/debug/store").want(t, "debug", 200)
		p.fault("update", "error", "0")
		unavailable(u.get("/me"), "me while load still fails")
		p.fault("all", "error", "0")
		u.get("/me").want(t, "me afterwards", 200, "user", "alice")

		u.header.Set("Accept", "text/html")
		p.fault("load", "error", "1")
		if r := u.get("/").want(t, "the page while load fails", 503); r.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("a browser gets %s", r.header.Get("Content-Type"))
		}
	})
}

// The carrier of a cookie-only store fails as others do.
func TestCarrierFails(t *testing.T) {
	p := start(t, "-debug", "-store", "cookie", "-dsn", "revocable")
	u := p.user()
	u.post("/login", "user", "alice").want(t, "login", 200)
	p.fault("load", "error", "1")
	u.get("/me").want(t, "me while load fails", 503)
	p.fault("delete", "error", "1")
	u.post("/logout").want(t, "logout while delete fails", 503)
	u.get("/me").want(t, "me afterwards", 200, "user", "alice")
	p.fault("update", "error", "1")
	u.post("/put", "k", "k", "v", "1").want(t, "put while update fails", 503)
	u.post("/logout").want(t, "logout", 200, "revoked", true)
	calls := p.calls()
	if calls["delete"] != 2.0 || calls["update"] != 1.0 {
		t.Errorf("calls %v, want 2 deletes and 1 update", calls)
	}
	if n := p.records(); n != 0 {
		t.Errorf("a store that keeps no records has %d", n)
	}
}

// A store that hangs is given up, by the manager's own clock: the wrapper must
// not pass for one that never blocks.
func TestStoreHangs(t *testing.T) {
	p := startTuned(t, func(cfg *core.Config) { cfg.StoreTimeout = 10 * time.Millisecond }, "-debug")
	u := p.user()
	u.post("/login", "user", "alice").want(t, "login", 200)
	p.fault("load", "hang", "1")
	u.get("/me").want(t, "me while load hangs", 503)
	u.get("/me").want(t, "me afterwards", 200)
	p.fault("update", "hang", "1")
	u.post("/put", "k", "k", "v", "1").want(t, "put while update hangs", 503)
	p.fault("delete", "hang", "1")
	u.post("/logout").want(t, "logout while delete hangs", 503)
}

func TestCalls(t *testing.T) {
	p := start(t, "-debug")
	u := p.user()
	u.post("/put", "k", "k", "v", "1").want(t, "put", 200)
	u.post("/put", "k", "k", "v", "2").want(t, "put", 200)
	u.get("/get", "k", "k").want(t, "get", 200)
	p.fault("load", "error", "1")
	u.get("/get", "k", "k").want(t, "get while load fails", 503)
	u.post("/logout").want(t, "logout", 200)
	want := map[string]int{"load": 4, "create": 1, "update": 1, "touch": 0, "delete": 1}
	if calls := p.calls(); !jsonEqual(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	u.post("/put", "k", "k", "v", "1").want(t, "put", 200)
	u.post("/clear").want(t, "clear", 200)
	if n := p.calls()["delete"]; n != 2.0 {
		t.Errorf("%v deletes, want 2: a delete by version is one", n)
	}
}

// plain is a store without any power.
type plain struct{ core.Store }

// A wrapper shows no power that the store lacks.
func TestInjectedPowers(t *testing.T) {
	memory, err := openMemory(StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, _ := injectFaults(memory)
	if _, ok := wrapped.(core.VersionDeleter); !ok {
		t.Error("a store that deletes by version lost that power")
	}
	if _, ok := wrapped.(core.NonBlocking); ok {
		t.Error("the wrapper claims never to block")
	}
	wrapped, _ = injectFaults(plain{memory})
	if _, ok := wrapped.(core.VersionDeleter); ok {
		t.Error("the wrapper claims to delete by version")
	}
}

func TestWithoutDebug(t *testing.T) {
	p := start(t)
	p.user().get("/debug/store").want(t, "debug routes without -debug", 404)
	p.user().get("/debug/calls").want(t, "debug routes without -debug", 404)
	p.user().post("/debug/fault", "op", "all").want(t, "debug routes without -debug", 404)
}
