package core_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Writers with each optional interface, to be combined.
type (
	bare     struct{ http.ResponseWriter }
	flusher  struct{}
	hijacker struct{}
	reader   struct{}
	pusher   struct{}
)

func (flusher) Flush() {}
func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("hijacked")
}
func (reader) ReadFrom(io.Reader) (int64, error)    { return 42, nil }
func (pusher) Push(string, *http.PushOptions) error { return errors.New("pushed") }

func interfaces(w http.ResponseWriter) string {
	out := ""
	if _, ok := w.(http.Flusher); ok {
		out += "F"
	}
	if _, ok := w.(http.Hijacker); ok {
		out += "H"
	}
	if _, ok := w.(io.ReaderFrom); ok {
		out += "R"
	}
	if _, ok := w.(http.Pusher); ok {
		out += "P"
	}
	return out
}

// Fails if a case of exchange.writer() names the wrong type.
func TestWriterShowsWhatTheInnerOneHas(t *testing.T) {
	w := newWorld(t)
	rec := httptest.NewRecorder()
	b := bare{rec}
	seen := map[string]bool{}
	for _, inner := range []http.ResponseWriter{
		b,
		struct {
			bare
			flusher
		}{bare: b},
		struct {
			bare
			hijacker
		}{bare: b},
		struct {
			bare
			flusher
			hijacker
		}{bare: b},
		struct {
			bare
			reader
		}{bare: b},
		struct {
			bare
			flusher
			reader
		}{bare: b},
		struct {
			bare
			hijacker
			reader
		}{bare: b},
		struct {
			bare
			flusher
			hijacker
			reader
		}{bare: b},
		struct {
			bare
			pusher
		}{bare: b},
		struct {
			bare
			flusher
			pusher
		}{bare: b},
		struct {
			bare
			hijacker
			pusher
		}{bare: b},
		struct {
			bare
			flusher
			hijacker
			pusher
		}{bare: b},
		struct {
			bare
			reader
			pusher
		}{bare: b},
		struct {
			bare
			flusher
			reader
			pusher
		}{bare: b},
		struct {
			bare
			hijacker
			reader
			pusher
		}{bare: b},
		struct {
			bare
			flusher
			hijacker
			reader
			pusher
		}{bare: b},
	} {
		want := interfaces(inner)
		seen[want] = true
		w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mustBe(t, "interfaces", interfaces(rw), want)
			if f, ok := rw.(io.ReaderFrom); ok {
				n, _ := f.ReadFrom(strings.NewReader("x"))
				mustBe(t, "ReadFrom", n, 42)
			}
			if p, ok := rw.(http.Pusher); ok {
				mustBe(t, "Push", p.Push("/", nil).Error(), "pushed")
			}
			if h, ok := rw.(http.Hijacker); ok {
				_, _, err := h.Hijack()
				mustBe(t, "Hijack", err.Error(), "hijacked")
			}
			_, flushes := rw.(http.Flusher)
			_, flushesWithError := rw.(interface{ FlushError() error })
			mustBe(t, "Flush comes with FlushError", flushes, flushesWithError)
		})).ServeHTTP(inner, httptest.NewRequest("GET", "/", nil))
	}
	mustBe(t, "combinations", len(seen), 16)
}

// Every way to the first byte commits first, once.
func TestEveryWayToTheFirstByteCommits(t *testing.T) {
	for name, first := range map[string]func(rw http.ResponseWriter){
		"WriteHeader": func(rw http.ResponseWriter) { rw.WriteHeader(201) },
		"Write":       func(rw http.ResponseWriter) { rw.Write([]byte("x")) },
		"WriteString": func(rw http.ResponseWriter) { io.WriteString(rw, "x") },
		"Flush":       func(rw http.ResponseWriter) { rw.(http.Flusher).Flush() },
		"controller":  func(rw http.ResponseWriter) { http.NewResponseController(rw).Flush() },
		"ReadFrom":    func(rw http.ResponseWriter) { io.Copy(rw, strings.NewReader("x")) },
		"ServeContent": func(rw http.ResponseWriter) {
			http.ServeContent(rw, httptest.NewRequest("GET", "/", nil), "x.txt", time.Time{}, strings.NewReader("x"))
		},
		"nothing at all": func(rw http.ResponseWriter) {},
		"empty Write":    func(rw http.ResponseWriter) { rw.Write(nil) },
		"behind a wrapper with Unwrap only": func(rw http.ResponseWriter) {
			http.NewResponseController(unwrapper{rw}).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			srv := httptest.NewServer(w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				core.Get(r.Context()).Set("k", 1)
				first(rw)
				if name != "nothing at all" {
					mustBe(t, "calls at the first byte", w.store.took(), "create")
				}
				io.WriteString(rw, "more")
			})))
			defer srv.Close()
			res, err := http.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			mustBe(t, "Set-Cookie lines", len(res.Header["Set-Cookie"]), 1)
			mustBe(t, "records", w.count(), 1)
		})
	}
}

type unwrapper struct{ http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// Security F10, trap 5. Fails if Unwrap returns the inner writer itself: a
// ResponseController would then flush and hijack behind the session's back.
func TestControllerCannotSkipTheCommit(t *testing.T) {
	w := newWorld(t)
	rec := httptest.NewRecorder()
	// The inner writer has Flush only behind its own Unwrap.
	inner := unwrapper{rec}
	w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Set("k", 1)
		if _, ok := rw.(http.Flusher); ok {
			t.Error("the writer shows what the inner one has not")
		}
		if err := http.NewResponseController(rw).Flush(); err != nil {
			t.Error(err)
		}
		mustBe(t, "calls", w.store.took(), "create")
		if _, _, err := http.NewResponseController(rw).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v", err)
		}
	})).ServeHTTP(inner, httptest.NewRequest("GET", "/", nil))
	mustBe(t, "Set-Cookie lines", len(rec.Header()["Set-Cookie"]), 1)

	// A writer that cannot flush at all is not committed by the attempt.
	w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		if err := http.NewResponseController(rw).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush: %v", err)
		}
		s.Set("k", 1)
		mustBe(t, "Err", s.Err(), nil)
	})).ServeHTTP(bare{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil))
}

func TestControllerReachesDeadlines(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(rw)
		if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}), c.EnableFullDuplex()); err != nil {
			t.Error(err)
		}
	})))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// Peers S13. Fails if WriteHeader commits at 103.
func TestEarlyHints(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</style.css>; rel=preload")
		rw.WriteHeader(103)
		core.Get(r.Context()).Set("k", 1)
		rw.WriteHeader(202)
	})))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	mustBe(t, "status", res.StatusCode, 202)
	mustBe(t, "Set-Cookie lines", len(res.Header["Set-Cookie"]), 1)
}

func TestHijack(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "old") })
	var hijackErr error
	srv := httptest.NewServer(w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Set("k", "before")
		var conn net.Conn
		conn, _, hijackErr = rw.(http.Hijacker).Hijack()
		if hijackErr != nil {
			return
		}
		defer conn.Close()
		s.Set("k", "after")
		if err := s.Save(context.Background()); err != nil {
			t.Error(err)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\nraw")
	})))
	defer srv.Close()
	raw := func(cookie string) string {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nCookie: %s\r\nConnection: close\r\n\r\n", cookie)
		b, _ := io.ReadAll(conn)
		return string(b)
	}
	if got := raw(c.cookie); hijackErr != nil || !strings.HasSuffix(got, "raw") {
		t.Fatalf("%v, %q", hijackErr, got)
	}
	mustBe(t, "value", c.get("k"), any("after"))
	// Without a cookie the change could not reach the client: the hijack is
	// refused while an error page can still be sent.
	if got := raw("x=y"); !errors.Is(hijackErr, core.ErrLate) || !strings.HasPrefix(got, "HTTP/1.1 500") {
		t.Fatalf("%v, %q", hijackErr, got)
	}
	mustBe(t, "records", w.count(), 1)
}

func TestHTTP2(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewUnstartedServer(w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Set("k", 1)
		mustBe(t, "protocol", r.Proto, "HTTP/2.0")
		rw.(http.Flusher).Flush()
		io.WriteString(rw, "body")
	})))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	mustBe(t, "body", string(body), "body")
	mustBe(t, "Set-Cookie lines", len(res.Header["Set-Cookie"]), 1)
}

// Feature F32. Fails if Serve does not look for its own session first.
func TestNesting(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.CountRequests = true })
	other := newWorld(t, func(c *core.Config) { c.Cookie.Name = "__Host-other" })
	var outermost *core.Session
	between := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			outermost = core.Get(r.Context())
			next.ServeHTTP(rw, r)
		})
	}
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		inner := core.Get(r.Context())
		mine, ok1 := w.m.Lookup(r.Context())
		theirs, ok2 := other.m.Lookup(r.Context())
		if !ok1 || !ok2 || inner != theirs || mine == theirs {
			t.Error("the sessions of two managers are mixed up")
		}
		if mine != outermost {
			t.Error("nested in itself, the manager gave a second session")
		}
		mine.Set("k", "mine")
		theirs.Set("k", "theirs")
		mustBe(t, "requests", mine.Requests(), 1)
		io.WriteString(rw, "ok")
	})
	rec := httptest.NewRecorder()
	w.m.Handler(between(w.m.Handler(other.m.Handler(other.m.Handler(h))))).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	mustBe(t, "calls", w.store.took()+" "+other.store.took(), "create create")
	mustBe(t, "Set-Cookie lines", len(rec.Header()["Set-Cookie"]), 2)
}

// Features S9 and B30: one request has one session, however often it is asked
// for, and does not wait for itself. Fails if a second Get loads or locks again.
func TestSessionOfARequestIsOne(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		w := newWorld(t, func(c *core.Config) { c.Exclusive = exclusive; c.LockTimeout = 0 })
		c := w.client()
		c.begin()
		rec := c.do(func(s *core.Session, rw http.ResponseWriter, r *http.Request) {
			s.User()
			loads := w.store.took()
			w.m.Serve(rw, r, func(_ http.ResponseWriter, r *http.Request) {
				again, ok := core.Lookup(r.Context())
				mine, ok2 := w.m.Lookup(r.Context())
				if !ok || !ok2 || again != s || mine != s || core.Get(r.Context()) != s {
					t.Error("a request has several sessions")
				}
				again.Set("k", 2)
			})
			v, _ := s.Get("k")
			mustBe(t, "value", v, any(int64(2)))
			mustBe(t, "calls after the first", w.store.took(), "")
			if !exclusive {
				mustBe(t, "calls of the first", loads, "load")
			}
		})
		mustStatus(t, rec, 200)
	}
}

// Fails if close() keeps to itself what a ServeMux told the inner request.
func TestPatternReachesTheOutside(t *testing.T) {
	w := newWorld(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequest("GET", "/items/7", nil)
	w.m.Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
	mustBe(t, "pattern", r.Pattern, "GET /items/{id}")
}

func TestWithoutMiddleware(t *testing.T) {
	if _, ok := core.Lookup(context.Background()); ok {
		t.Error("a session out of nothing")
	}
	defer func() {
		if msg, _ := recover().(string); !strings.Contains(msg, "Handler(") {
			t.Errorf("panic %q does not name the fix", msg)
		}
	}()
	core.Get(context.Background())
}

// Promise 11; security F6, F7, F8. Fails if writeHeader() only adds its line, or
// does not look at the Vary that is there.
func TestOneSetCookie(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Add("Set-Cookie", "mine=1")
		rw.Header().Add("Set-Cookie", "__Host-session=by hand") // replaced
		rw.Header().Set("Cache-Control", "public, max-age=60")
		rw.Header().Set("Vary", "Accept, cookie")
		s.Set("a", 1)
		s.Save(context.Background())
		s.Login("u")
		s.Save(context.Background())
		s.Destroy()
		s.Set("b", 1)
		s.Regenerate()
		io.WriteString(rw, "x")
	})
	lines := rec.Result().Header["Set-Cookie"]
	if len(lines) != 2 || lines[0] != "mine=1" || !strings.HasPrefix(lines[1], "__Host-session=") {
		t.Errorf("Set-Cookie: %q", lines)
	}
	mustBe(t, "Cache-Control", rec.Header().Get("Cache-Control"), "no-store")
	mustBe(t, "Vary", strings.Join(rec.Header()["Vary"], "|"), "Accept, cookie")
	mustBe(t, "value", c.get("b"), any(int64(1)))
	mustBe(t, "records", w.count(), 1)
}

// A connection that could not be hijacked still takes a header. Fails if hijack
// leaves that without what the session has to say: the browser would keep the
// cookie of a session that ended.
func TestHijackThatFails(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	r, rec := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	r.Header.Set("Cookie", c.cookie)
	w.m.Serve(struct {
		http.ResponseWriter
		hijacker
	}{rec, hijacker{}}, r, func(rw http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Destroy()
		_, _, err := rw.(http.Hijacker).Hijack()
		http.Error(rw, err.Error(), http.StatusNotImplemented)
	})
	mustStatus(t, rec, http.StatusNotImplemented)
	if line, _ := sessionCookie(rec); !strings.Contains(line, "Max-Age=0") {
		t.Errorf("Set-Cookie %q", line)
	}
	mustBe(t, "Vary", rec.Result().Header.Get("Vary"), "Cookie")
}
