package suite

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// The promises of the library, each through every adapter on every store that
// can hold it. The comment of each names the mechanism without which it fails.

var visits = core.NewKey[int]("visits")

var promises = []scenario{
	// Session.dirty, and the lazy Session.load.
	{name: "1 reading never writes", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").is(200, "set").sets()
		f.probe.take()
		for range 3 {
			b.get("/read").is(200, "nobody a=1").silent()
		}
		if w := f.probe.writes(); len(w) > 0 {
			f.Errorf("reading wrote: %v", w)
		}
		a := b.get("/static").is(200, "static").silent()
		if a.header.Get("Vary") != "" || a.header.Get("Cache-Control") != "" {
			f.Errorf("a page without the session has Vary %q, Cache-Control %q", a.header.Get("Vary"), a.header.Get("Cache-Control"))
		}
		if calls := f.probe.take(); len(calls) > 0 {
			f.Errorf("a page without the session called the store: %v", calls)
		}
	}},

	// Session.keeps: in dirty for what never was, in attempt for what is no more.
	{name: "2 nothing until there is something", run: func(f *fixture) {
		b := f.serve(nil).browser()
		for range 3 {
			b.get("/read").is(200, "nobody").silent()
			b.get("/delete?key=a").is(200, "deleted").silent()
			b.get("/logout").is(200, "bye").silent()
			b.get("/regenerate").is(200, "regenerated").silent()
		}
		if calls := f.probe.take(); len(calls) > 0 {
			f.Errorf("nothing was stored, by %v", calls)
		}
		f.holds(0)
		b.get("/set?a=1").sets()
		f.holds(1)
		b.get("/delete?key=a").is(200, "deleted").clears()
		f.holds(0)
		b.get("/read").is(200, "nobody").silent()
	}},
	// The compare-and-swap of the store, and Session.reload with replay.
	{name: "3 no lost updates", needs: Merging | overlapping, run: func(f *fixture) {
		one, two := newGate(), newGate()
		slow := func(g *gate, key string) handler {
			return func(x *call) {
				x.Get("base") // loads
				g.pass()
				x.Set(key, "kept")
				x.text(200, "ok")
			}
		}
		s := f.serve(map[string]handler{
			"/one": slow(one, "one"),
			"/two": slow(two, "two"),
		})
		b := s.browser()
		b.get("/set?base=0").sets()
		first, second := b.begin("/one"), b.begin("/two")
		one.reached(f)
		two.reached(f)
		close(one.open)
		first().is(200, "ok").silent()
		close(two.open)
		second().is(200, "ok").silent()
		b.get("/read").is(200, "nobody base=0 one=kept two=kept")
	}},
	{name: "3 an update is atomic", needs: Merging, run: func(f *fixture) {
		b := f.serve(map[string]handler{"/visit": func(x *call) {
			x.text(200, fmt.Sprint(visits.Update(x, func(n int) int { return n + 1 })))
		}}).browser()
		b.get("/set?a=1").sets()
		b.crowd("/visit", 20)
		b.get("/read").is(200, "nobody a=1 visits=20")
	}},
	// Session.acquire: in exclusive mode what was read holds until it is written.
	{name: "3 one request after another", needs: queueing, run: func(f *fixture) {
		b := f.serve(map[string]handler{"/visit": func(x *call) {
			n := visits.GetOr(x, 0)
			runtime.Gosched()
			visits.Set(x, n+1)
			x.text(200, "ok")
		}}).browser()
		b.get("/set?a=1").sets()
		b.crowd("/visit", 20)
		b.get("/read").is(200, "nobody a=1 visits=20")
	}},
	{name: "4 logout waits for its turn and ends the session", needs: queueing, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/slow": func(x *call) {
			x.Get("a")
			g.pass()
			x.Set("a", "2")
			x.text(200, "saved")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		old := b.thief()
		slow := b.begin("/slow")
		g.reached(f)
		logout := b.begin("/logout")
		close(g.open)
		slow().is(200, "saved").silent()
		logout().is(200, "bye").clears()
		old.get("/read").is(200, "nobody").silent()
		f.holds(0)
	}},

	// Update without upsert, and the proof that reload compares.
	{name: "4 logout wins over a slower writer", needs: Revoking | overlapping, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/slow": func(x *call) {
			x.Get("a")
			g.pass()
			x.Set("a", "zombie")
			x.text(200, "saved")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		old := b.thief()
		slow := b.begin("/slow")
		g.reached(f)
		b.get("/logout").is(200, "bye").clears()
		close(g.open)
		slow().refused(http.StatusConflict)
		b.get("/read").is(200, "nobody").silent()
		old.get("/read").is(200, "nobody").silent()
		if len(f.happened(core.EventGone)) == 0 {
			f.Error("the refusal was not reported")
		}
	}},
	{name: "4 logout wins over a slower reader", needs: Revoking | overlapping, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/slow": func(x *call) {
			x.Get("a")
			g.pass()
			x.text(200, "read")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		old := b.thief()
		f.clock.Advance(20 * time.Minute) // a touch is due
		slow := b.begin("/slow")
		g.reached(f)
		b.get("/logout").clears()
		close(g.open)
		slow().is(200, "read").silent()
		old.get("/read").is(200, "nobody").silent()
	}},
	{name: "4 login wins over a slower writer", needs: Revoking | overlapping, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/slow": func(x *call) {
			x.Get("a")
			g.pass()
			x.Set("a", "late")
			x.text(200, "saved")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		planted := b.thief()
		slow := b.begin("/slow")
		g.reached(f)
		b.get("/login?user=alice").is(200, "hello").sets()
		fresh := b.value()
		close(g.open)
		slow().refused(http.StatusConflict)
		if b.value() != fresh {
			f.Error("the late answer replaced the cookie of the login")
		}
		b.get("/read").is(200, "alice a=1")
		planted.get("/read").is(200, "nobody")
	}},

	// Session.discard on a failed status and in exchange.end; the single store
	// call of attempt.
	{name: "5 a failed answer changes nothing", run: func(f *fixture) {
		change := func(x *call) {
			x.Login("mallory")
			x.Set("a", "2")
			x.Regenerate()
			x.Persist(time.Hour)
		}
		s := f.serve(map[string]handler{
			"/500":   func(x *call) { change(x); x.text(500, "failed") },
			"/error": func(x *call) { change(x); x.fail(503, "failed") },
			"/panic": func(x *call) { change(x); panic("on purpose") },
		}, func(a *app) { a.recovery = outside })
		b := s.browser()
		b.get("/set?a=1").sets()
		f.probe.take()
		for path, status := range map[string]int{"/500": 500, "/error": 503, "/panic": 500} {
			if a := b.get(path).silent(); a.status != status {
				f.Errorf("%s: %d", path, a.status)
			}
			if w := f.probe.writes(); len(w) > 0 {
				f.Errorf("%s wrote: %v", path, w)
			}
			b.get("/read").is(200, "nobody a=1").silent()
		}
	}},
	// Destroy acts at once, not at the commit.
	{name: "5 a logout holds whatever the answer is", run: func(f *fixture) {
		s := f.serve(map[string]handler{
			"/500":   func(x *call) { x.Destroy(); x.text(500, "failed") },
			"/error": func(x *call) { x.Destroy(); x.fail(500, "failed") },
			"/panic": func(x *call) { x.Destroy(); panic("on purpose") },
		}, func(a *app) { a.recovery = outside })
		for _, path := range []string{"/500", "/error", "/panic"} {
			b := s.browser()
			b.get("/login?user=alice").sets()
			old := b.thief()
			if a := b.get(path).clears(); a.status != 500 {
				f.Errorf("%s: %d", path, a.status)
			}
			b.get("/read").is(200, "nobody")
			if f.can(Revoking) {
				old.get("/read").is(200, "nobody")
			}
		}
	}},

	// exchange.fail: the error page in place of the handler's answer.
	{name: "6 no false success", run: func(f *fixture) {
		s := f.serve(nil)
		b := s.browser()
		f.probe.fail(create, errorBefore)
		b.get("/set?a=1").refused(http.StatusServiceUnavailable)
		f.probe.repair()
		b.get("/set?a=1").is(200, "set").sets()

		f.probe.fail(update, errorBefore)
		b.get("/set?a=2").refused(http.StatusServiceUnavailable)
		f.probe.fail(load, errorBefore)
		b.get("/read").refused(http.StatusServiceUnavailable) // not "nobody"
		b.get("/static").is(200, "static")
		f.probe.repair()
		b.get("/read").is(200, "nobody a=1")
		if len(f.happened(core.EventCommitFailed)) < 2 || len(f.happened(core.EventLoadFailed)) != 1 {
			f.Errorf("failures reported: %+v", f.events)
		}
	}},

	// Session.use: ErrLate and ErrEnded instead of a change that leads nowhere.
	{name: "7 no silent loss", run: func(f *fixture) {
		var late, after error
		var leaked *core.Session
		b := f.serve(map[string]handler{"/late": func(x *call) {
			x.text(200, "begun ")
			x.Set("a", "late")
			late = x.Err()
			leaked = x.Session
		}}).browser()
		b.get("/late").is(200, "begun ").silent()
		if !errors.Is(late, core.ErrLate) {
			f.Errorf("a change after the answer began: %v, want ErrLate", late)
		}
		leaked.Set("a", "later still")
		if after = leaked.Err(); after == nil {
			f.Error("a change after the request ended was accepted")
		}
		if len(f.happened(core.EventLateChange)) == 0 || !strings.Contains(f.log.String(), "level=WARN") {
			f.Errorf("nothing was said of it: %s", f.log.String())
		}
		b.get("/read").is(200, "nobody")
	}},

	// Session.flush compares what was handed out; Session.do and set compare bytes.
	{name: "8 every change is found", run: func(f *fixture) {
		tags := core.NewKey[[]string]("tags")
		s := f.serve(map[string]handler{
			"/start":   func(x *call) { tags.Set(x, []string{"a", "b"}); x.text(200, "ok") },
			"/inplace": func(x *call) { t, _ := tags.Get(x); t[0] = "changed"; x.text(200, "ok") },
			"/same":    func(x *call) { tags.Set(x, []string{"changed", "b"}); x.text(200, "ok") },
		})
		b := s.browser()
		b.get("/start").sets()
		b.get("/inplace").is(200, "ok")
		b.get("/read").is(200, "nobody tags=[changed b]")
		f.probe.take()
		b.get("/same").is(200, "ok").silent()
		if w := f.probe.writes(); len(w) > 0 {
			f.Errorf("setting what was there wrote: %v", w)
		}
	}},

	// Manager.open and newToken.
	{name: "9 a client's identifier is never adopted", run: func(f *fixture) {
		s := f.serve(nil)
		real := s.browser()
		real.get("/set?a=1").sets()
		good := real.value()
		for _, junk := range []string{
			"x", "deleted", strings.Repeat("A", 43), strings.Repeat("A", 86), strings.Repeat("A", 5000),
			good[:len(good)-1], good + "A", flip(good, 0), flip(good, len(good)/2), "../../etc/passwd", "\xff\xfe", `"`,
		} {
			f.probe.take()
			b := s.browser()
			b.keepRaw(junk)
			b.get("/read").is(200, "nobody").silent()
			if calls := f.probe.take(); len(calls) > 0 {
				f.Errorf("%.20q reached the store: %v", junk, calls)
			}
			b.get("/set?a=2").is(200, "set").sets()
			if b.value() == junk {
				f.Errorf("%.20q was adopted", junk)
			}
		}
	}},
	{name: "9 a dead cookie is anonymous and is not adopted", needs: Revoking, run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		dead := b.thief()
		b.get("/logout").clears()
		dead.get("/read").is(200, "nobody").silent()
		old := dead.value()
		dead.get("/set?b=1").sets()
		if dead.value() == old {
			f.Error("the dead token was used again")
		}
		b.keepRaw(old)
		b.get("/read").is(200, "nobody")
	}},

	// Record.expired, asked on every load.
	{name: "10 idle and absolute limits are ours", run: func(f *fixture) {
		s := f.serve(nil)
		idle := s.browser()
		idle.get("/set?a=1").sets()
		f.clock.Advance(29 * time.Minute)
		idle.get("/read").is(200, "nobody a=1") // and counts as use
		f.clock.Advance(29 * time.Minute)
		idle.get("/read").is(200, "nobody a=1")
		f.clock.Advance(30 * time.Minute)
		idle.get("/read").is(200, "nobody").silent()

		busy := s.browser()
		busy.get("/set?a=1").sets()
		for range 60 * 24 / 20 {
			busy.get("/read").is(200, "nobody a=1")
			f.clock.Advance(20 * time.Minute)
		}
		busy.get("/read").is(200, "nobody")
		if len(f.happened(core.EventExpired)) != 2 {
			f.Errorf("%d expiries reported, want 2", len(f.happened(core.EventExpired)))
		}
	}},

	// exchange.writeHeader replaces lines of the name.
	{name: "11 exactly one Set-Cookie", needs: cookies, run: func(f *fixture) {
		b := f.serve(map[string]handler{"/everything": func(x *call) {
			http.SetCookie(x.w, &http.Cookie{Name: cookieName, Value: "by-hand"})
			http.SetCookie(x.w, &http.Cookie{Name: "other", Value: "kept"})
			x.Set("a", "1")
			x.Destroy()
			x.Set("b", "2")
			x.Login("alice")
			x.Regenerate()
			x.Persist(time.Hour)
			x.text(200, "ok")
		}}).browser()
		for range 2 {
			a := b.get("/everything").is(200, "ok").sets()
			if a.cookies[0].Value == "by-hand" || !slices.ContainsFunc(a.header["Set-Cookie"], func(l string) bool { return strings.HasPrefix(l, "other=kept") }) {
				f.Errorf("Set-Cookie: %q", a.header["Set-Cookie"])
			}
			b.get("/read").is(200, "alice b=2").silent()
		}
	}},

	// Session.encode and attempt check sizes; a cookie's is checked by the sealer.
	{name: "13 bounded", tune: func(c *core.Config) { c.MaxBytes = 1 << 20 }, run: func(f *fixture) {
		var got error
		s := f.serve(map[string]handler{"/big": func(x *call) {
			x.Set("big", strings.Repeat("x", 2<<20))
			got = x.Err()
			x.text(200, "saved")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		b.get("/big").refused(http.StatusInternalServerError)
		if large := (*core.TooLargeError)(nil); !errors.As(got, &large) || large.Size < 2<<20 || large.Limit != 1<<20 {
			f.Errorf("oversize: %v, want numbers", got)
		}
		b.get("/read").is(200, "nobody a=1")
	}},

	// Event, ValueError and Session.String name IDs and keys only; see
	// fixture.keptQuiet.
	{name: "14 quiet", run: func(f *fixture) {
		s := f.serve(map[string]handler{
			"/decode": func(x *call) {
				core.NewKey[int]("secret").Get(x)
				x.text(200, "ok")
			},
			"/show": func(x *call) { x.text(200, fmt.Sprintf("%v %+v %#v", x.Session, x.Session, x.Session)) },
		})
		b := s.browser()
		b.get("/set?secret=" + canary).sets()
		b.get("/read").is(200, "nobody secret="+canary)
		if a := b.get("/decode"); a.status != 500 || strings.Contains(a.body, canary) {
			f.Errorf("%d %s", a.status, a.body)
		}
		f.probe.fail(update, errorBefore)
		b.get("/set?secret=other").refused(503)
		f.probe.repair()
		for _, secret := range []string{canary, b.value()} {
			if a := b.get("/show"); a.status != 200 || strings.Contains(a.body, secret) {
				f.Errorf("%s", a.body)
			}
		}
	}},
}

// flip changes one character of a sealed value.
func flip(s string, i int) string {
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}
