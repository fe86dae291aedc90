package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// peer is a behaviour that was observed in a session library in use today,
// and what must hold here instead. The labels are those of the survey: S is
// alexedwards/scs, G gorilla/sessions and gin-contrib/sessions, E
// labstack/echo-contrib, F gofiber's session middleware, R what happens to
// resources, X what happens between a library and a framework.
type peer struct {
	name  string
	there string // what was observed
	here  string // what must hold
	// needs and without are scenario's.
	needs, without Power
	tune           func(*core.Config)
	// run is called for every adapter on every store; what needs no request
	// has unit instead.
	run  func(f *fixture)
	unit func(t *testing.T)
}

// peerScenarios are those behaviours that need requests.
func peerScenarios() (out []scenario) {
	for _, p := range peers {
		if p.run == nil {
			continue
		}
		out = append(out, scenario{name: p.name, needs: p.needs, without: p.without, tune: p.tune, run: func(f *fixture) {
			defer func() {
				if f.Failed() {
					f.Logf("elsewhere %s; here %s", p.there, p.here)
				}
			}()
			p.run(f)
		}})
	}
	return out
}

var peers = []peer{
	{name: "S1 change after the first write", needs: Listing,
		there: "the change is lost without an error",
		here:  "it is saved where the client holds the cookie, and an error where it does not",
		run: func(f *fixture) {
			var err error
			b := f.serve(map[string]handler{"/late": func(x *call) {
				io.WriteString(x.w, "begun")
				x.Set("late", "1")
				err = x.Err()
			}}).browser()
			b.get("/late").silent()
			if !errors.Is(err, core.ErrLate) {
				f.Errorf("without a cookie: %v, want ErrLate", err)
			}
			b.get("/set?a=1").sets()
			b.get("/late")
			if err != nil {
				f.Errorf("with a cookie: %v", err)
			}
			b.get("/read").is(200, "nobody a=1 late=1")
		}},
	{name: "S2 late renewal",
		there: "renewing the token after the first write ends the session",
		here:  "it is an error, and the session stays as it was",
		run: func(f *fixture) {
			var err error
			b := f.serve(map[string]handler{"/late": func(x *call) {
				io.WriteString(x.w, "begun")
				x.Regenerate()
				err = x.Err()
			}}).browser()
			b.get("/set?a=1").sets()
			b.get("/late").is(200, "begun").silent()
			if !errors.Is(err, core.ErrLate) {
				f.Errorf("%v, want ErrLate", err)
			}
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "S3 renewal and panic",
		there: "a panic after renewing the token loses the session",
		here:  "the session stays as it was, under its old token",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/panic": func(x *call) { x.Regenerate(); panic("on purpose") }},
				func(a *app) { a.recovery = outside }).browser()
			b.get("/set?a=1").sets()
			b.get("/panic").silent()
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "S4 G10 two writers, two keys", needs: Merging | overlapping,
		there: "of two requests that write different keys, one write is lost",
		here:  "both are kept",
		run: func(f *fixture) {
			g := newGate()
			b := f.serve(map[string]handler{"/slow": func(x *call) { x.Get("a"); g.pass(); x.Set("b", "2"); x.text(200, "ok") }}).browser()
			b.get("/set?a=1").sets()
			slow := b.begin("/slow")
			g.reached(f)
			b.get("/set?c=3").is(200, "set")
			close(g.open)
			slow().is(200, "ok")
			b.get("/read").is(200, "nobody a=1 b=2 c=3")
		}},
	{name: "S5 F3 a reader writes", needs: Merging | overlapping,
		there: "with an idle timeout, a request that only reads writes back the whole session, over the changes of others",
		here:  "it moves the access time at most",
		run: func(f *fixture) {
			g := newGate()
			b := f.serve(map[string]handler{"/slow": func(x *call) { x.Get("a"); g.pass(); x.text(200, "read") }}).browser()
			b.get("/set?a=1").sets()
			f.clock.Advance(10 * time.Minute) // a touch is due
			slow := b.begin("/slow")
			g.reached(f)
			b.get("/set?a=2").is(200, "set")
			close(g.open)
			slow().is(200, "read").silent()
			b.get("/read").is(200, "nobody a=2")
		}},
	{name: "S6 F4 G11 back after logout", needs: Revoking | overlapping,
		there: "a request still running at logout stores its session again, and the old cookie works",
		here:  "what it wants stored is refused",
		run: func(f *fixture) {
			g := newGate()
			b := f.serve(map[string]handler{"/slow": func(x *call) { x.Get("a"); g.pass(); x.Set("a", "2"); x.text(200, "ok") }}).browser()
			b.get("/login?user=alice").sets()
			old := b.thief()
			slow := b.begin("/slow")
			g.reached(f)
			b.get("/logout").clears()
			close(g.open)
			slow().refused(http.StatusConflict)
			old.get("/read").is(200, "nobody")
			f.holds(0)
		}},
	{name: "S7 commit fails",
		there: "the answer is the error text and the handler's body together, or a success if the error is only logged",
		here:  "the error page alone",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			f.probe.fail(create, errorBefore)
			b.get("/set?a=1").refused(http.StatusServiceUnavailable)
		}},
	{name: "S8 store down, session not used",
		there: "pages that do not use the session fail with the store",
		here:  "they do not know",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			f.probe.fail(load, errorBefore)
			b.get("/static").is(200, "static").silent()
		}},
	{name: "S9 undecodable record", needs: Listing,
		there: "every request answers 500 until the cookie is removed by hand",
		here:  "the session counts as gone, with an event, and the next value begins another",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			id := f.happened(core.EventCreated)[0].ID
			rec, err := f.probe.inner.Load(context.Background(), id)
			if err != nil {
				f.Fatal(err)
			}
			rec.Version++
			rec.Values = []byte("\x01garbage")
			if err := f.probe.inner.Update(context.Background(), rec); err != nil {
				f.Fatal(err)
			}
			b.get("/read").is(200, "nobody").silent()
			if e := f.happened(core.EventRejected); len(e) != 1 || e[0].Reason != core.ReasonMalformed {
				f.Errorf("rejected: %+v", e)
			}
			b.get("/set?a=2").is(200, "set").sets()
			b.get("/read").is(200, "nobody a=2")
		}},
	{name: "S10 ending what a list shows", needs: Listing,
		there: "with hashed tokens, destroying a listed session deletes nothing and reports success",
		here:  "a listed ID ends its session",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/login?user=alice").sets()
			ended := 0
			for info, err := range f.manager.Sessions(context.Background()) {
				if err != nil {
					f.Fatal(err)
				}
				if existed, err := f.manager.Revoke(context.Background(), info.ID); err != nil || !existed {
					f.Errorf("Revoke: %v, %v", existed, err)
				}
				ended++
			}
			if ended != 1 {
				f.Errorf("%d sessions listed", ended)
			}
			b.get("/read").is(200, "nobody")
			if existed, err := f.manager.Revoke(context.Background(), core.ID{1}); existed || err != nil {
				f.Errorf("an ID that is none: %v, %v", existed, err)
			}
		}},
	{name: "S11 G21 changed in place",
		there: "a value mutated in place is not saved, without an error",
		here:  "it is found and saved",
		run: func(f *fixture) {
			cart := core.NewKey[map[string]int]("cart")
			b := f.serve(map[string]handler{
				"/new": func(x *call) { cart.Set(x, map[string]int{"apples": 1}); x.text(200, "ok") },
				"/add": func(x *call) { c, _ := cart.Get(x); c["apples"]++; x.text(200, "ok") },
			}).browser()
			b.get("/new").sets()
			b.get("/add")
			b.get("/read").is(200, "nobody cart=map[apples:2]")
		}},
	{name: "S12 flush before write",
		there: "Flush before the first Write skips the commit: a record without a cookie",
		here:  "Flush commits",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/flush": func(x *call) { x.Set("a", "1"); x.w.(http.Flusher).Flush() }}).browser()
			b.get("/flush").is(200, "").sets()
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "S13 early hints",
		there: "a 103 commits, and changes after it are lost",
		here:  "an informational response is no answer",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/hints": func(x *call) { early(x.w, 103); x.Set("a", "1"); x.text(200, "ok") }}).browser()
			b.get("/hints", func(r *http.Request) {
				*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil },
				}))
			}).is(200, "ok").sets()
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "S14 hidden interfaces",
		there: "ReadFrom and Push disappear behind the middleware's writer",
		here:  "the writer has what the one inside has",
		unit: func(t *testing.T) {
			m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
			defer m.Close()
			type everything struct {
				http.ResponseWriter
				http.Flusher
				http.Hijacker
				http.Pusher
				io.ReaderFrom
			}
			h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, f := w.(http.Flusher)
				_, h := w.(http.Hijacker)
				_, p := w.(http.Pusher)
				_, r := w.(io.ReaderFrom)
				fmt.Fprint(w, f, h, p, r)
			}))
			for _, c := range []struct {
				wrap func(http.ResponseWriter) http.ResponseWriter
				want string
			}{
				{func(w http.ResponseWriter) http.ResponseWriter { return everything{ResponseWriter: w} }, "true true true true"},
				{func(w http.ResponseWriter) http.ResponseWriter { return struct{ http.ResponseWriter }{w} }, "false false false false"},
			} {
				w := httptest.NewRecorder()
				h.ServeHTTP(c.wrap(w), httptest.NewRequest("GET", "/", nil))
				if w.Body.String() != c.want {
					t.Errorf("%s, want %s", w.Body, c.want)
				}
			}
		}},
	{name: "S15 reads that write",
		there: "with an idle timeout, 100 reads make 100 writes and 100 cookies",
		here:  "100 reads in a second make none of either",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			f.probe.take()
			for range 100 {
				b.get("/read").silent()
				f.clock.Advance(10 * time.Millisecond)
			}
			if w := f.probe.writes(); len(w) > 0 {
				f.Errorf("%d writes", len(w))
			}
		}},
	{name: "S17 G9 missing middleware",
		there: "a panic that does not name the fix",
		here:  "it names the missing line, and Lookup does not panic",
		unit: func(t *testing.T) {
			for _, a := range adapters {
				func() {
					defer func() {
						if said := fmt.Sprint(recover()); !strings.Contains(said, a.missing) {
							t.Errorf("%s: %q", a.name, said)
						}
					}()
					a.build(app{routes: map[string]handler{"/": func(*call) {}}}).
						ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
				}()
			}
			if _, ok := core.Lookup(context.Background()); ok {
				t.Error("Lookup found a session in an empty context")
			}
		}},
	{name: "S18 G17 G23 types of the application",
		there: "a type that was not registered fails at commit, or panics",
		here:  "plain structs need no registration; what cannot be encoded is refused where it is set",
		run: func(f *fixture) {
			type cart struct{ Apples, Pears int }
			key := core.NewKey[cart]("cart")
			var now error
			b := f.serve(map[string]handler{
				"/struct": func(x *call) { key.Set(x, cart{1, 2}); c, _ := key.Get(x); x.text(200, fmt.Sprint(c)) },
				"/again":  func(x *call) { c, _ := key.Get(x); x.text(200, fmt.Sprint(c)) },
				"/chan":   func(x *call) { x.Set("c", make(chan int)); now = x.Err(); x.text(200, "saved") },
			}).browser()
			b.get("/struct").is(200, "{1 2}").sets()
			b.get("/again").is(200, "{1 2}")
			b.get("/chan").refused(http.StatusInternalServerError)
			if bad := (*core.ValueError)(nil); !errors.As(now, &bad) || bad.Key != "c" {
				f.Errorf("at the Set: %v", now)
			}
		}},
	{name: "S19 a login undone", needs: Revoking | overlapping,
		there: "a slower request that began before a login stores the session without the user again",
		here:  "its change is refused, and its answer does not touch the cookie",
		run: func(f *fixture) {
			g := newGate()
			b := f.serve(map[string]handler{"/slow": func(x *call) { x.Get("a"); g.pass(); x.Set("a", "2"); x.text(200, "ok") }}).browser()
			b.get("/set?a=1").sets()
			slow := b.begin("/slow")
			g.reached(f)
			b.get("/login?user=alice").sets()
			close(g.open)
			slow().refused(http.StatusConflict)
			b.get("/read").is(200, "alice a=1")
		}},

	{name: "G1 attributes", needs: cookies,
		there: "HttpOnly is off, SameSite is None or missing",
		here:  "Secure, HttpOnly, SameSite=Lax, Path=/ and the __Host- prefix unless configured",
		run: func(f *fixture) {
			line := f.serve(nil).browser().get("/set?a=1").sets().header.Get("Set-Cookie")
			if !strings.HasPrefix(line, "__Host-") || !strings.HasSuffix(line, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
				f.Errorf("Set-Cookie: %s", line)
			}
		}},
	{name: "G2 two clocks", without: Listing,
		there: "a shorter lifetime set through the options leaves the codec's 30 days in force",
		here:  "the limit is in what is sealed, whatever the browser does with Max-Age",
		tune:  func(c *core.Config) { c.IdleTimeout, c.AbsoluteTimeout = time.Minute, time.Minute },
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			f.clock.Advance(time.Minute)
			b.get("/read").is(200, "nobody")
		}},
	{name: "G3 E1 save after the body",
		there: "Save after the body returns nil, and there is no cookie",
		here:  "Save says that it is too late",
		run: func(f *fixture) {
			var err error
			b := f.serve(map[string]handler{"/late": func(x *call) {
				io.WriteString(x.w, "begun")
				x.Set("a", "1")
				err = x.Save(x.r.Context())
			}}).browser()
			b.get("/late").silent()
			if !errors.Is(err, core.ErrLate) {
				f.Errorf("Save: %v, want ErrLate", err)
			}
		}},
	{name: "G4 E2 forgotten save",
		there: "without a call of Save the changes are lost in silence",
		here:  "nothing is saved by hand",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "G5 reading makes a cookie",
		there: "looking for flash messages creates a session",
		here:  "looking for what is not there changes nothing",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/flash": func(x *call) { x.Pop("flash"); x.Delete("flash"); x.text(200, "none") }}).browser()
			b.get("/flash").is(200, "none").silent()
			f.holds(0)
		}},
	{name: "G6 G20 two Set-Cookie lines",
		there: "saving twice sends two cookies of one name",
		here:  "exactly one",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/twice": func(x *call) {
				x.Set("a", "1")
				if err := x.Save(x.r.Context()); err != nil {
					f.Error(err)
				}
				x.Regenerate()
				if err := x.Save(x.r.Context()); err != nil {
					f.Error(err)
				}
				x.Login("alice")
				x.text(200, "ok")
			}}).browser()
			b.get("/twice").is(200, "ok").sets()
			b.get("/read").is(200, "alice a=1")
		}},
	{name: "G7 store down looks like logged out",
		there: "a failed load gives an empty session, and the next Save overwrites the real cookie",
		here:  "a failed load is a 503, and the cookie stays",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/login?user=alice").sets()
			f.probe.fail(load, errorBefore)
			b.get("/read").refused(http.StatusServiceUnavailable)
			b.get("/set?a=1").refused(http.StatusServiceUnavailable)
			b.get("/login?user=bob").refused(http.StatusServiceUnavailable)
			f.probe.repair()
			b.get("/read").is(200, "alice")
		}},
	{name: "G8 bad cookie name",
		there: "a nil dereference at the first request",
		here:  "New refuses it and says why",
		unit: func(t *testing.T) {
			for _, name := range []string{"a b", "a;b", "ä", "a=b", "\x00"} {
				_, err := core.New(core.Config{Store: memorystore.New(memorystore.Config{}), Cookie: core.CookieConfig{Name: name}})
				if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "Name") {
					t.Errorf("%q: %v", name, err)
				}
			}
		}},
	{name: "G12 no rotation", needs: Revoking,
		there: "there is no call that replaces the token",
		here:  "Login and Regenerate do, and the old one is dead at once",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			for _, path := range []string{"/regenerate", "/login?user=alice"} {
				old := b.thief()
				b.get(path).sets()
				if old.value() == b.value() {
					f.Errorf("%s kept the token", path)
				}
				old.get("/read").is(200, "nobody")
			}
			b.get("/read").is(200, "alice a=1")
		}},
	{name: "G13 replay after logout", needs: Revoking, without: Listing,
		there: "a cookie-only session can be replayed after the logout",
		here:  "not with a revocation list",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/login?user=alice").sets()
			copied := b.thief()
			b.get("/logout").clears()
			copied.get("/read").is(200, "nobody").silent()
		}},
	{name: "G13 replay without a list", without: Revoking,
		there: "nothing says that a logout leaves copies valid",
		here:  "Destroy says so",
		run: func(f *fixture) {
			var err error
			b := f.serve(map[string]handler{"/bye": func(x *call) { err = x.Destroy(); x.text(200, "bye") }}).browser()
			b.get("/login?user=alice").sets()
			b.get("/bye").is(200, "bye").clears()
			if !errors.Is(err, core.ErrNotRevocable) {
				f.Errorf("Destroy: %v", err)
			}
		}},
	{name: "G14 G18 too large for a cookie", needs: cookies, without: Listing,
		there: "what is larger than a browser keeps passes Save and is dropped by the browser; the error of what is larger still has no type",
		here:  "a typed error with both numbers, and the earlier cookie stays; what fits, counting name and value, is kept",
		run: func(f *fixture) {
			var err error
			s := f.serve(map[string]handler{"/fill": func(x *call) {
				n := 0
				fmt.Sscan(x.r.URL.Query().Get("n"), &n)
				x.Set("fill", strings.Repeat("x", n))
				x.text(200, "saved")
				err = x.Err()
			}})
			b := s.browser()
			b.get("/set?a=1").sets()
			for n := 1500; ; n += 100 {
				held := b.value()
				a := b.get(fmt.Sprintf("/fill?n=%d", n))
				if a.status == 200 {
					if size := len(cookieName) + len(b.value()); size > 4096 {
						f.Fatalf("%d bytes fit into a cookie of %d", n, size)
					}
					continue
				}
				a.refused(http.StatusInternalServerError)
				if n < 2000 || b.value() != held {
					f.Errorf("refused at %d", n)
				}
				if large := (*core.TooLargeError)(nil); !errors.As(err, &large) || large.Size <= large.Limit || large.Limit == 0 {
					f.Errorf("%v", err)
				}
				b.get("/read").is(200, "nobody a=1 fill="+strings.Repeat("x", n-100))
				return
			}
		}},
	{name: "G15 weak keys",
		there: "a key of one byte is accepted; other bad ones fail at the first use",
		here:  "a secret that is no secret is refused where it is parsed",
		unit: func(t *testing.T) {
			for _, text := range []string{"", "secret", "AA==", "c2VjcmV0", strings.Repeat("A", 43) + "=",
				"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="} {
				if _, err := core.ParseSecret(text); !errors.Is(err, core.ErrConfig) {
					t.Errorf("%q: %v, want ErrConfig", text, err)
				}
			}
		}},
	{name: "G16 JSON",
		there: "the JSON serializer cannot encode the session's own map type",
		here:  "every codec takes what a session holds",
		tune:  func(c *core.Config) { c.Codec = core.JSON },
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/map": func(x *call) {
				x.Set("map", map[string]any{"list": []any{"a", true, nil}})
				x.Set("n", 1)
				x.text(200, "ok")
			}}).browser()
			b.get("/map").is(200, "ok").sets()
			b.get("/read").is(200, "nobody map=map[list:[a true <nil>]] n=1")
		}},
	{name: "G19 a lifetime of zero", needs: cookies,
		there: "MaxAge 0, meant as a cookie of the browser's session, stores nothing",
		here:  "the zero configuration is a cookie that ends with the browser, and it is stored",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			a := b.get("/set?a=1").sets()
			if a.cookies[0].MaxAge != 0 || !a.cookies[0].Expires.IsZero() {
				f.Errorf("Set-Cookie: %s", a.cookies[0].Raw)
			}
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "G22 logout under another path", needs: cookies,
		there: "a logout through Options{MaxAge: -1} leaves the cookie when the path differs",
		here:  "set and clear have one scope, which no call can change",
		tune: func(c *core.Config) {
			c.Cookie = core.CookieConfig{Name: cookieNameUnderPath, Path: "/app", Domain: "example.org"}
		},
		run: func(f *fixture) {
			s := f.serve(map[string]handler{"/app/in": standard["/login"], "/app/out": standard["/logout"]})
			b := s.browser()
			in := b.get("/app/in?user=alice")
			out := b.get("/app/out", cookieLines(strings.SplitN(in.header.Get("Set-Cookie"), ";", 2)[0]))
			attributes := func(a *answer) string {
				_, rest, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
				return strings.Replace(rest, " Max-Age=0;", "", 1)
			}
			if attributes(in) != attributes(out) || !strings.Contains(out.header.Get("Set-Cookie"), cookieNameUnderPath+"=; Max-Age=0") {
				f.Errorf("set %q, cleared %q", in.header.Get("Set-Cookie"), out.header.Get("Set-Cookie"))
			}
		}},
	{name: "G24 expired records stay", needs: Listing,
		there: "what expired is never removed",
		here:  "it is never served, and Sweep removes it",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			f.clock.Advance(time.Hour)
			b.get("/read").is(200, "nobody")
			// A store that needs no sweeping has none.
			if _, err := f.manager.Sweep(context.Background()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				f.Error(err)
			}
			f.holds(0)
		}},

	{name: "R1 close at once",
		there: "stopping the cleanup right after New leaks a goroutine; stopping it twice blocks",
		here:  "Close leaves nothing behind and may be called again",
		unit: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // fails if a goroutine stays
				for range 3 {
					m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
					for range 2 {
						if err := m.Close(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}},
	{name: "R2 two goroutines of one request",
		there: "a data race when one request uses its session from two goroutines",
		here:  "none (run with -race)",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/both": func(x *call) {
				var wg sync.WaitGroup
				for i := range 4 {
					wg.Go(func() { x.Set(fmt.Sprint(i), i); x.Get("0"); x.User(); x.ID() })
				}
				wg.Wait()
				x.text(200, "ok")
			}}).browser()
			b.get("/both").is(200, "ok").sets()
			b.get("/read").is(200, "nobody 0=0 1=1 2=2 3=3")
		}},

	{name: "F1 a record for every hit",
		there: "every request without a cookie makes a record and a cookie",
		here:  "neither, until there is something to keep",
		run: func(f *fixture) {
			s := f.serve(nil)
			for range 100 {
				s.browser().get("/read").silent()
			}
			f.holds(0)
		}},
	{name: "F2 reset loses the limit",
		there: "after Reset the absolute timeout is gone",
		here:  "Regenerate keeps it, and what follows Destroy has one of its own",
		tune:  func(c *core.Config) { c.IdleTimeout = 5 * time.Hour },
		run: func(f *fixture) {
			s := f.serve(map[string]handler{"/reset": func(x *call) { x.Destroy(); x.Set("a", "2"); x.text(200, "ok") }})
			renewed, reset := s.browser(), s.browser()
			renewed.get("/set?a=1").sets()
			reset.get("/set?a=1").sets()
			reset.get("/reset").sets()
			for range 5 {
				f.clock.Advance(4 * time.Hour)
				renewed.get("/regenerate").sets()
				reset.get("/read").is(200, "nobody a=2")
			}
			renewed.get("/read").is(200, "nobody a=1")
			f.clock.Advance(4 * time.Hour)
			renewed.get("/read").is(200, "nobody")
			reset.get("/read").is(200, "nobody")
		}},
	{name: "F5 set after destroy",
		there: "a value set after Destroy is lost in silence",
		here:  "it begins a new session",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/bye": func(x *call) { x.Destroy(); x.Set("bye", "1"); x.text(200, "ok") }}).browser()
			b.get("/login?user=alice").sets()
			b.get("/bye").is(200, "ok").sets()
			b.get("/read").is(200, "nobody bye=1")
		}},
	{name: "F6 an error answer saves",
		there: "changes are saved although the handler failed",
		here:  "a status of 500 and above discards them",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/fail": func(x *call) { x.Set("a", "2"); x.Login("mallory"); x.fail(500, "failed") }}).browser()
			b.get("/set?a=1").sets()
			b.get("/fail").silent()
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "F7 cookie of a failed save",
		there: "the new cookie is sent although the save failed",
		here:  "no cookie for what was not stored",
		run: func(f *fixture) {
			b := f.serve(nil).browser()
			b.get("/set?a=1").sets()
			f.probe.fail(update, errorBefore)
			b.get("/login?user=alice").refused(http.StatusServiceUnavailable)
			b.get("/regenerate").refused(http.StatusServiceUnavailable)
			f.probe.repair()
			b.get("/read").is(200, "nobody a=1")
		}},
	{name: "F8 pooled sessions",
		there: "a session object kept beyond its request shows the data of another user",
		here:  "sessions are never reused; after its request one shows nothing",
		run: func(f *fixture) {
			var kept []*core.Session
			s := f.serve(map[string]handler{"/leak": func(x *call) { x.Get("secret"); kept = append(kept, x.Session); x.text(200, "ok") }})
			b := s.browser()
			b.get("/set?secret=alice").sets()
			b.get("/leak")
			for i := range 20 {
				o := s.browser()
				o.get("/set?secret=other").sets()
				o.get("/leak")
				if i%10 == 0 {
					runtime.GC()
				}
			}
			for i, s := range kept {
				if v, ok := s.Get("secret"); ok || s.User() != "" {
					f.Errorf("session %d shows %v after its request", i, v)
				}
			}
		}},

	{name: "X1 an error commits twice",
		there: "an error that a handler returns is rendered after the middleware: two commits, two cookies",
		here:  "one commit, one cookie, one body",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/fail": func(x *call) { x.Login("alice"); x.fail(422, "not like this") }}).browser()
			a := b.get("/fail").sets()
			if a.status != 422 || strings.Count(a.body, "not like this") != 1 {
				f.Errorf("%d %q", a.status, a.body)
			}
			if w := f.probe.writes(); !slices.Equal(w, []string{create}) {
				f.Errorf("store calls: %v", w)
			}
		}},
	{name: "X2 a writer with only Unwrap",
		there: "a middleware whose writer has only Unwrap breaks the takeover of a connection under a framework that asserts http.Hijacker",
		here:  "the writer is itself an http.Hijacker",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/socket": func(x *call) {
				conn, _, err := x.w.(http.Hijacker).Hijack()
				if err != nil {
					f.Error(err)
					return
				}
				io.WriteString(conn, "mine\n")
				conn.Close()
			}}).browser()
			_, r := b.dial("/socket")
			if line, err := r.ReadString('\n'); line != "mine\n" {
				f.Errorf("%q, %v", line, err)
			}
		}},
	{name: "X3 a status without a body",
		there: "a framework that sends such an answer on a writer of its own goes by the middleware, and nothing is saved",
		here:  "it is saved, and the cookie is there",
		run: func(f *fixture) {
			b := f.serve(map[string]handler{"/204": func(x *call) { x.Set("a", "1"); x.status(204) }}).browser()
			b.get("/204").is(204, "").sets()
			b.get("/read").is(200, "nobody a=1")
		}},
}

// cookieNameUnderPath is the default where __Host- is not allowed.
const cookieNameUnderPath = "__Secure-session"
