package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Every way in which a response can leave, and every header at its time.

// early sends an informational response. A framework that only records a
// status is asked to send it.
func early(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	if n, ok := w.(interface{ WriteHeaderNow() }); ok {
		n.WriteHeaderNow()
	}
}

// knows makes the application tell the statuses that its framework believes in.
func knows(statuses *[]int) func(*app) {
	return func(a *app) { a.access = func(status int) { *statuses = append(*statuses, status) } }
}

var responses = []scenario{
	{name: "a status without a body", run: func(f *fixture) {
		var logged []int
		routes := map[string]handler{}
		statuses := []int{200, 201, 204, 304, 400, 404}
		for _, status := range statuses {
			routes[fmt.Sprintf("/%d", status)] = func(x *call) {
				x.Set("status", status)
				x.status(status)
			}
		}
		s := f.serve(routes, knows(&logged))
		for _, status := range statuses {
			b := s.browser()
			b.get(fmt.Sprintf("/%d", status)).is(status, "").sets()
			b.get("/read").is(200, fmt.Sprintf("nobody status=%d", status))
		}
		for i, status := range statuses {
			if logged[2*i] != status {
				f.Errorf("the framework logged %v for %v", logged, statuses)
			}
		}
	}},
	{name: "a failed status without a body", run: func(f *fixture) {
		var logged []int
		s := f.serve(map[string]handler{"/503": func(x *call) { x.Set("a", "1"); x.status(503) }}, knows(&logged))
		s.browser().get("/503").is(503, "").silent()
		if !slices.Equal(logged, []int{503}) || len(f.probe.writes()) > 0 {
			f.Errorf("logged %v", logged)
		}
	}},
	{name: "nothing written at all", run: func(f *fixture) {
		b := f.serve(map[string]handler{"/nothing": func(x *call) { x.Set("a", "1") }}).browser()
		b.get("/nothing").is(200, "").sets()
		b.get("/read").is(200, "nobody a=1")
	}},
	{name: "written without a status", run: func(f *fixture) {
		b := f.serve(map[string]handler{"/write": func(x *call) {
			x.Set("a", "1")
			io.WriteString(x.w, "hello ")
			x.w.Write([]byte("world"))
		}}).browser()
		b.get("/write").is(200, "hello world").sets()
	}},
	{name: "HEAD", run: func(f *fixture) {
		b := f.serve(nil).browser()
		b.get("/set?a=1", method("HEAD")).is(200, "").sets()
		b.get("/read").is(200, "nobody a=1")
	}},
	{name: "redirect", run: func(f *fixture) {
		b := f.serve(map[string]handler{"/go": func(x *call) { x.Login("alice"); x.redirect("/read") }}).browser()
		a := b.get("/go").sets()
		if a.status != http.StatusFound || a.header.Get("Location") != "/read" {
			f.Errorf("%d to %q", a.status, a.header.Get("Location"))
		}
		b.get("/read").is(200, "alice")
	}},
	{name: "the status of a failure is the one that is logged", run: func(f *fixture) {
		var logged []int
		s := f.serve(nil, knows(&logged))
		f.probe.fail(create, errorBefore)
		s.browser().get("/set?a=1").refused(503)
		if !slices.Equal(logged, []int{503}) {
			f.Errorf("the framework logged %v for a 503", logged)
		}
	}},
	{name: "writing after a failure is an error", run: func(f *fixture) {
		var errs []error
		var logged []int
		s := f.serve(map[string]handler{"/again": func(x *call) {
			x.Set("a", "1")
			_, err := x.w.Write([]byte("saved"))
			errs = append(errs, err)
			x.w.WriteHeader(200)
			_, err = io.WriteString(x.w, "saved")
			errs = append(errs, err)
			_, err = io.Copy(x.w, struct{ io.Reader }{strings.NewReader("saved")})
			errs = append(errs, err)
		}}, knows(&logged))
		f.probe.fail(create, errorBefore)
		s.browser().get("/again").refused(503)
		for _, err := range errs {
			if !errors.Is(err, core.ErrUnavailable) {
				f.Errorf("writing after the answer was replaced: %v", err)
			}
		}
		if !slices.Equal(logged, []int{503}) {
			f.Errorf("logged %v", logged)
		}
	}},
	{name: "an error page without a body is sent all the same", tune: func(c *core.Config) {
		c.OnError = func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(core.Status(err)) }
	}, run: func(f *fixture) {
		var logged []int
		s := f.serve(map[string]handler{
			"/flush": func(x *call) {
				x.Set("a", "1")
				x.w.(http.Flusher).Flush()
				x.text(200, "saved")
			},
			"/text": func(x *call) { x.Set("a", "1"); x.text(200, "saved"); x.text(200, "saved") },
			"/none": func(x *call) { x.Set("a", "1") },
		}, knows(&logged))
		f.probe.fail(create, errorBefore)
		for _, path := range []string{"/flush", "/text", "/none"} {
			s.browser().get(path).is(503, "").silent()
		}
		if !slices.Equal(logged, []int{503, 503, 503}) {
			f.Errorf("logged %v", logged)
		}
	}},

	{name: "early hints are no answer yet", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/hints": func(x *call) {
			x.w.Header().Set("Link", "</style.css>; rel=preload")
			early(x.w, http.StatusEarlyHints)
			x.w.Header().Del("Link")
			x.Set("a", "1")
			x.text(200, "ok")
		}})
		b := s.browser()
		var hints []int
		a := b.get("/hints", func(r *http.Request) {
			*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					hints = append(hints, code)
					if h.Get("Link") == "" || len(f.on.carriage.received(http.Header(h))) > 0 {
						return fmt.Errorf("header of the hints: %v", h)
					}
					return nil
				},
			}))
		})
		a.is(200, "ok").sets()
		if !slices.Equal(hints, []int{103}) {
			f.Errorf("informational: %v", hints)
		}
		b.get("/read").is(200, "nobody a=1")
	}},

	{name: "flush commits first", run: func(f *fixture) {
		g := newGate()
		s := f.serve(map[string]handler{"/flush": func(x *call) {
			x.Set("a", "1")
			x.w.(http.Flusher).Flush()
			g.pass()
			io.WriteString(x.w, "done")
		}})
		b := s.browser()
		resp, err := s.server.Client().Get(s.server.URL + "/flush") // the header is there, the body is not
		if err != nil {
			f.Fatal(err)
		}
		defer resp.Body.Close()
		b.keep(resp.Header)
		b.get("/read").is(200, "nobody a=1")
		close(g.open)
		if body, err := io.ReadAll(resp.Body); string(body) != "done" || err != nil {
			f.Errorf("%q, %v", body, err)
		}
	}},
	{name: "server-sent events", needs: Listing | overlapping, run: func(f *fixture) {
		g := newGate()
		var late error
		s := f.serve(map[string]handler{"/events": func(x *call) {
			x.w.Header().Set("Content-Type", "text/event-stream")
			x.Set("a", "1")
			if err := x.Save(x.r.Context()); err != nil {
				f.Error(err)
			}
			fmt.Fprint(x.w, "data: 1\n\n")
			x.w.(http.Flusher).Flush()
			g.pass()
			x.Set("b", "2") // the client holds the cookie: saved, and merged
			if err := x.Save(x.r.Context()); err != nil {
				f.Error(err)
			}
			x.Set("c", "3") // saved at the end
			fmt.Fprint(x.w, "data: 2\n\n")
			x.Regenerate() // would need a cookie
			late = x.Err()
		}})
		b := s.browser()
		resp, err := s.server.Client().Get(s.server.URL + "/events")
		if err != nil {
			f.Fatal(err)
		}
		defer resp.Body.Close()
		b.keep(resp.Header)
		b.get("/set?other=4").is(200, "set")
		close(g.open)
		if body, err := io.ReadAll(resp.Body); string(body) != "data: 1\n\ndata: 2\n\n" || err != nil {
			f.Errorf("%q, %v", body, err)
		}
		if !errors.Is(late, core.ErrLate) {
			f.Errorf("Regenerate in the middle of the stream: %v", late)
		}
		b.get("/read").is(200, "nobody a=1 b=2 other=4")
	}},

	{name: "a connection taken over", run: func(f *fixture) {
		var before string
		s := f.serve(map[string]handler{"/socket": func(x *call) {
			before = contents(x.Session)
			conn, rw, err := x.w.(http.Hijacker).Hijack()
			if err != nil {
				f.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			rw.Flush()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(rw, "echo "+line)
			rw.Flush()
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		conn, r := b.dial("/socket")
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || len(b.keep(resp.Header)) > 0 {
			f.Fatalf("%+v, %v", resp, err)
		}
		fmt.Fprint(conn, "hello\n")
		if line, err := r.ReadString('\n'); line != "echo hello\n" || err != nil {
			f.Errorf("%q, %v", line, err)
		}
		if before != "nobody a=1" {
			f.Errorf("the session before: %s", before)
		}
		b.get("/read").is(200, "nobody a=1")
	}},
	{name: "a takeover commits first", needs: Listing, run: func(f *fixture) {
		s := f.serve(map[string]handler{"/socket": func(x *call) {
			x.Set("a", "2")
			conn, _, err := x.w.(http.Hijacker).Hijack()
			if err != nil {
				f.Error(err)
				return
			}
			conn.Close()
		}})
		b := s.browser()
		b.get("/set?a=1").sets()
		_, r := b.dial("/socket")
		r.ReadByte() // until it is closed
		b.get("/read").is(200, "nobody a=2")
	}},
	{name: "no takeover that would lose a new session", run: func(f *fixture) {
		var got error
		s := f.serve(map[string]handler{"/socket": func(x *call) {
			x.Set("a", "1")
			var conn net.Conn
			if conn, _, got = x.w.(http.Hijacker).Hijack(); got == nil {
				conn.Close()
			}
		}})
		s.browser().get("/socket").refused(http.StatusInternalServerError)
		if !errors.Is(got, core.ErrLate) {
			f.Errorf("Hijack: %v, want ErrLate", got)
		}
	}},

	{name: "a large body copied", run: func(f *fixture) {
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		s := f.serve(map[string]handler{"/copy": func(x *call) {
			x.Set("a", "1")
			// A reader that is nothing else, so that Copy asks the writer for ReadFrom.
			n, err := io.Copy(x.w, struct{ io.Reader }{bytes.NewReader(large)})
			if n != int64(len(large)) || err != nil {
				f.Errorf("copied %d, %v", n, err)
			}
		}})
		b := s.browser()
		if a := b.get("/copy").sets(); a.status != 200 || a.body != string(large) {
			f.Errorf("%d, %d bytes", a.status, len(a.body))
		}
		b.get("/read").is(200, "nobody a=1")
	}},
	{name: "http.ResponseController", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/control": func(x *call) {
			x.Set("a", "1")
			c := http.NewResponseController(x.w)
			if err := errors.Join(
				c.SetReadDeadline(time.Now().Add(time.Minute)),
				c.SetWriteDeadline(time.Now().Add(time.Minute)),
				c.EnableFullDuplex(),
			); err != nil {
				f.Error(err)
			}
			if calls := f.probe.take(); len(calls) > 0 {
				f.Errorf("a deadline committed: %v", calls)
			}
			if err := c.Flush(); err != nil {
				f.Error(err)
			}
			if calls := f.probe.take(); len(calls) != 1 {
				f.Errorf("Flush did not commit: %v", calls)
			}
			io.WriteString(x.w, "ok")
		}})
		b := s.browser()
		b.get("/control").is(200, "ok").sets()
		b.get("/read").is(200, "nobody a=1")
	}},
	{name: "http.ResponseController takes a connection over", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/socket": func(x *call) {
			x.Set("a", "1")
			conn, _, err := http.NewResponseController(x.w).Hijack()
			if !errors.Is(err, core.ErrLate) {
				f.Errorf("Hijack went by the session: %v", err)
			}
			if err == nil {
				conn.Close()
			}
		}})
		s.browser().get("/socket").refused(http.StatusInternalServerError)
	}},

	{name: "HTTP/2", run: func(f *fixture) {
		s, start := f.prepare(map[string]handler{"/flush": func(x *call) {
			x.Set("b", "2")
			x.w.(http.Flusher).Flush()
			io.WriteString(x.w, x.r.Proto)
		}})
		start.EnableHTTP2 = true
		start.StartTLS()
		b := s.browser()
		b.get("/set?a=1").is(200, "set").sets()
		a := b.get("/flush")
		if a.status != 200 || a.body != "HTTP/2.0" {
			f.Errorf("%d %s", a.status, a.body)
		}
		b.get("/read").is(200, "nobody a=1 b=2")
		b.get("/logout").clears()
		f.probe.fail(create, errorBefore)
		b.get("/set?a=1").refused(503)
	}},

	{name: "the middleware twice is once", run: func(f *fixture) {
		var first *core.Session
		s := f.serve(map[string]handler{"/two": func(x *call) {
			if s, ok := f.manager.Lookup(x.r.Context()); !ok || s != x.Session || s != first {
				f.Error("another session inside")
			}
			x.Set("a", "1")
			x.text(200, "ok")
		}}, func(a *app) {
			a.managers = append(a.managers, f.manager)
			a.between = func(r *http.Request) {
				first, _ = core.Lookup(r.Context())
				first.User() // loads
			}
		})
		b := s.browser()
		b.get("/two").is(200, "ok").sets()
		if calls := f.probe.take(); !slices.Equal(calls, []string{create}) {
			f.Errorf("store calls: %v", calls)
		}
		b.get("/read").is(200, "nobody a=1")
		want := []string{load}
		if f.can(queueing) {
			want = []string{load, load} // again once it has the session to itself
		}
		if calls := f.probe.take(); !slices.Equal(calls, want) {
			f.Errorf("store calls: %v, want %v", calls, want)
		}
	}},
	{name: "two managers are two sessions", needs: cookies, run: func(f *fixture) {
		inner := f.on.Open(f.T, f.clock.Now)
		second := f.newManager(inner, func(c *core.Config) { c.Cookie.Name = "second" })
		f.Cleanup(func() { second.Close() })
		s := f.serve(map[string]handler{"/both": func(x *call) {
			outer, ok := f.manager.Lookup(x.r.Context())
			if in, ok2 := second.Lookup(x.r.Context()); !ok || !ok2 || in != x.Session || outer == in {
				f.Error("the sessions are not apart")
			}
			outer.Set("who", "outer")
			x.Set("who", "inner")
			x.text(200, "ok")
		}}, func(a *app) { a.managers = append(a.managers, second) })
		a := s.browser().get("/both").is(200, "ok").sets()
		var names []string
		for _, line := range a.header["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			names = append(names, name)
		}
		if slices.Sort(names); !slices.Equal(names, []string{cookieName, "second"}) {
			f.Errorf("cookies: %v", names)
		}
	}},
}
