package suite

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coatcheck/sessions/core"
)

// A session's life, as a browser sees it: from the first value to the end.

var life = []scenario{
	{name: "the first value makes the session", run: func(f *fixture) {
		var before, after core.ID
		var isNew bool
		s := f.serve(map[string]handler{
			"/first":  func(x *call) { before = x.ID(); isNew = x.IsNew(); x.Set("a", "1"); x.text(200, "ok") },
			"/second": func(x *call) { after = x.ID(); isNew = x.IsNew(); x.text(200, "ok") },
		})
		b := s.browser()
		a := b.get("/first").is(200, "ok").sets()
		if !before.IsZero() || !isNew {
			f.Errorf("before it is stored: ID %q, IsNew %v", before, isNew)
		}
		if c := a.cookies[0]; f.can(cookies) && (!c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 || !c.Expires.IsZero()) {
			f.Errorf("cookie: %s", c.Raw)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Vary") != f.on.carriage.vary() {
			f.Errorf("Cache-Control %q, Vary %q", a.header.Get("Cache-Control"), a.header.Get("Vary"))
		}
		b.get("/second").is(200, "ok").silent()
		if after.IsZero() || isNew {
			f.Errorf("after the cookie came back: ID %q, IsNew %v", after, isNew)
		}
	}},

	{name: "reading keeps it alive, now and then", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		f.probe.take()
		f.clock.Advance(3 * time.Minute) // exactly the resolution: not yet
		b.get("/read").is(200, "nobody a=1").silent()
		if w := f.probe.writes(); len(w) > 0 {
			f.Errorf("within the resolution: %v", w)
		}
		f.clock.Advance(time.Millisecond)
		a := b.get("/read").is(200, "nobody a=1")
		w := f.probe.writes()
		if f.can(Listing) {
			a.silent()
			if !slices.Equal(w, []string{touch}) {
				f.Errorf("beyond the resolution: %v, want one touch", w)
			}
		} else {
			a.sets() // the time is in the cookie
		}
		b.get("/read").silent()
	}},

	{name: "login", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1").sets()
		planted := b.thief()
		b.get("/login?user=alice").is(200, "hello").sets()
		if b.value() == planted.value() {
			f.Error("the token stayed the same")
		}
		b.get("/read").is(200, "alice a=1").silent()
		if f.can(Revoking) {
			planted.get("/read").is(200, "nobody").silent()
		} else {
			planted.get("/read").is(200, "nobody a=1").silent() // what it was, without the user
		}
	}},
	{name: "login of another user takes nothing over", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/login?user=alice").sets()
		b.get("/set?role=admin")
		b.get("/login?user=bob").sets()
		b.get("/read").is(200, "bob")
	}},
	{name: "a double click logs in", needs: overlapping, run: func(f *fixture) {
		one, two := newGate(), newGate()
		login := func(g *gate) handler {
			return func(x *call) { x.User(); g.pass(); x.Login("alice"); x.text(200, "hello") }
		}
		s := f.serve(map[string]handler{"/one": login(one), "/two": login(two)})
		b := s.browser()
		b.get("/set?a=1").sets()
		first, second := b.begin("/one"), b.begin("/two")
		one.reached(f)
		two.reached(f)
		close(one.open)
		first().is(200, "hello").sets()
		close(two.open)
		second().is(200, "hello").sets()
		if a := b.get("/read"); a.body != "alice" && a.body != "alice a=1" {
			f.Errorf("after two logins at once: %s", a.body)
		}
	}},
	{name: "a double click logs in, once and again", needs: queueing, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/login-slowly": func(x *call) { x.User(); g.pass(); x.Login("alice"); x.text(200, "hello") }})
		b := s.browser()
		b.get("/set?a=1").sets()
		first := b.begin("/login-slowly")
		g.reached(f)
		second := b.begin("/login?user=alice")
		close(g.open)
		first().is(200, "hello").sets()
		second().is(200, "hello").sets()
		if a := b.get("/read"); a.body != "alice" && a.body != "alice a=1" {
			f.Errorf("after two logins: %s", a.body)
		}
	}},
	{name: "a login whose session ended meanwhile begins a new one", needs: Revoking | overlapping, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/login-slowly": func(x *call) {
			x.Login("alice")
			g.pass()
			x.text(200, "hello")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		slow := b.begin("/login-slowly")
		g.reached(f)
		b.get("/logout").clears()
		close(g.open)
		slow().is(200, "hello").sets()
		b.get("/read").is(200, "alice")
	}},

	{name: "logout", run: func(f *fixture) {
		var got error
		s := f.serve(map[string]handler{"/bye": func(x *call) { got = x.Destroy(); x.text(200, contents(x.Session)) }})
		b := s.browser()
		b.get("/login?user=alice").sets()
		copied := b.thief()
		b.get("/bye").is(200, "nobody").clears()
		b.get("/read").is(200, "nobody").silent()
		if f.can(Revoking) {
			if got != nil {
				f.Errorf("Destroy: %v", got)
			}
			copied.get("/read").is(200, "nobody").silent()
		} else {
			if !errors.Is(got, core.ErrNotRevocable) {
				f.Errorf("Destroy: %v, want ErrNotRevocable", got)
			}
			copied.get("/read").is(200, "alice").silent() // why it said so
		}
		b.get("/bye").is(200, "nobody").silent() // twice is once
	}},
	{name: "a value set after Destroy begins a new session", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/switch": func(x *call) {
			x.Destroy()
			x.Set("message", "goodbye")
			x.text(200, "ok")
		}})
		b := s.browser()
		b.get("/login?user=alice").sets()
		b.get("/set?a=1")
		old := b.thief()
		b.get("/switch").is(200, "ok").sets()
		b.get("/read").is(200, "nobody message=goodbye")
		if f.can(Revoking) {
			old.get("/read").is(200, "nobody")
		}
	}},

	{name: "regenerate", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/login?user=alice").sets()
		b.get("/set?a=1")
		old := b.thief()
		b.get("/regenerate").is(200, "regenerated").sets()
		if b.value() == old.value() {
			f.Error("the token stayed the same")
		}
		b.get("/read").is(200, "alice a=1").silent()
		if f.can(Revoking) {
			old.get("/read").is(200, "nobody").silent()
			if e := f.happened(core.EventRejected); len(e) != 1 || e[0].Reason != core.ReasonRotated && e[0].Reason != core.ReasonRevoked {
				f.Errorf("rejected: %+v", e)
			}
		}
	}},

	{name: "remember me", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/remember": func(x *call) {
			x.Login("alice")
			x.Persist(30 * 24 * time.Hour)
			x.text(200, "ok")
		}})
		b := s.browser()
		if a := b.get("/remember").sets(); f.can(cookies) && a.cookies[0].MaxAge != 30*24*3600 {
			f.Errorf("Max-Age %d, want 30 days", a.cookies[0].MaxAge)
		}
		f.clock.Advance(29 * 24 * time.Hour)
		b.get("/read").is(200, "alice")
		f.clock.Advance(24 * time.Hour)
		b.get("/read").is(200, "nobody")
	}},
	{name: "limits of its own", run: func(f *fixture) {
		s := f.serve(map[string]handler{
			"/short": func(x *call) { x.SetIdleTimeout(time.Minute); x.text(200, "ok") },
			"/over":  func(x *call) { x.SetExpiry(time.Time{}); x.text(200, contents(x.Session)) },
		})
		b := s.browser()
		b.get("/set?a=1")
		b.get("/short").is(200, "ok")
		f.clock.Advance(59 * time.Second)
		b.get("/read").is(200, "nobody a=1")
		f.clock.Advance(time.Minute)
		b.get("/read").is(200, "nobody")

		b.get("/set?a=1")
		b.get("/over").is(200, "nobody a=1") // readable to the end of its request
		b.get("/read").is(200, "nobody")
	}},

	{name: "namespaces share a session and nothing else", run: func(f *fixture) {
		s := f.serve(map[string]handler{
			"/fill": func(x *call) {
				x.Namespace("shop").Set("k", "1")
				x.Namespace("blog").Set("k", "2")
				x.Set("k", "3")
				x.text(200, "ok")
			},
			"/clear": func(x *call) { x.Namespace("shop").Clear(); x.text(200, "ok") },
			"/both": func(x *call) {
				shop, _ := x.Namespace("shop").Get("k")
				blog, _ := x.Namespace("blog").Get("k")
				x.text(200, fmt.Sprintf("%v %v %v", shop, blog, x.Namespaces()))
			},
		})
		b := s.browser()
		b.get("/fill").sets()
		b.get("/both").is(200, "1 2 [blog shop]")
		b.get("/clear")
		b.get("/both").is(200, "<nil> 2 [blog]")
		b.get("/read").is(200, "nobody k=3")
	}},

	{name: "a flash message is shown once", run: func(f *fixture) {
		flash := core.NewKey[string]("flash")
		s := f.serve(map[string]handler{"/page": func(x *call) {
			m, _ := flash.Pop(x)
			x.text(200, "["+m+"]")
		}})
		b := s.browser()
		b.get("/page").is(200, "[]").silent()
		b.get("/set?flash=saved&a=1").sets()
		b.get("/page").is(200, "[saved]")
		b.get("/page").is(200, "[]").silent()
	}},
	{name: "one of two requests gets a flash message", needs: Merging | overlapping, run: func(f *fixture) {
		flash := core.NewKey[string]("flash")
		one, two := newGate(), newGate()
		page := func(g *gate) handler {
			return func(x *call) { m, _ := flash.Pop(x); g.pass(); x.text(200, "["+m+"]") }
		}
		s := f.serve(map[string]handler{"/one": page(one), "/two": page(two)})
		b := s.browser()
		b.get("/set?flash=saved&a=1").sets()
		first, second := b.begin("/one"), b.begin("/two")
		one.reached(f)
		two.reached(f)
		close(one.open)
		first().is(200, "[saved]")
		close(two.open)
		second().refused(http.StatusConflict)
	}},
	{name: "emptying yields to a value that comes meanwhile", needs: Merging | overlapping, run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/empty": func(x *call) {
			x.Delete("a")
			g.pass()
			x.text(200, "emptied")
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		slow := b.begin("/empty")
		g.reached(f)
		b.get("/set?b=2").is(200, "set")
		close(g.open)
		slow().is(200, "emptied").silent()
		b.get("/read").is(200, "nobody b=2")
	}},

	{name: "a conflict is explained", needs: Revoking | overlapping, run: func(f *fixture) {
		g := newGate()
		var wrote error
		s := f.serve(map[string]handler{"/slow": func(x *call) {
			x.Set("a", "2")
			g.pass()
			x.w.Header().Set("Content-Type", "application/json")
			x.w.Header().Set("Content-Length", "5")
			x.w.Header().Set("Location", "/done")
			x.w.WriteHeader(http.StatusCreated)
			_, wrote = x.w.Write([]byte("saved"))
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		slow := b.begin("/slow")
		g.reached(f)
		b.get("/logout")
		close(g.open)
		a := slow().refused(http.StatusConflict)
		if a.header.Get("Content-Type") != "text/plain; charset=utf-8" || a.header.Get("Location") != "" || a.header.Get("Cache-Control") != "no-store" {
			f.Errorf("header of the refusal: %v", a.header)
		}
		if !errors.Is(wrote, core.ErrGone) {
			f.Errorf("the handler's write: %v, want ErrGone", wrote)
		}
	}},

	{name: "many goroutines of one request", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/many": func(x *call) {
			done := make(chan struct{})
			for i := range 8 {
				go func() {
					defer func() { done <- struct{}{} }()
					key := fmt.Sprint(i)
					x.Set(key, i)
					x.Get(key)
					x.User()
					visits.Update(x, func(n int) int { return n + 1 })
				}()
			}
			for range 8 {
				<-done
			}
			x.text(200, "ok")
		}})
		b := s.browser()
		b.get("/many").is(200, "ok").sets()
		b.get("/read").is(200, "nobody 0=0 1=1 2=2 3=3 4=4 5=5 6=6 7=7 visits=8")
	}},
	{name: "a goroutine that outlives its request is told", run: func(f *fixture) {
		over, told := make(chan struct{}), make(chan error)
		s := f.serve(map[string]handler{"/leak": func(x *call) {
			x.Set("a", "1")
			session := x.Session // a framework may reuse what x holds
			go func() {
				<-over
				session.Set("b", "2")
				told <- session.Err()
			}()
			x.text(200, "ok")
		}})
		b := s.browser()
		b.get("/leak").is(200, "ok").sets()
		close(over)
		if err := <-told; !errors.Is(err, core.ErrEnded) {
			f.Errorf("a goroutine after the end: %v, want ErrEnded", err)
		}
		b.get("/read").is(200, "nobody a=1")
	}},
}
