package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"

	"github.com/coatcheck/sessions/core"
)

// traps are what a framework lays for whoever puts something around its
// handlers. Each is sprung on every adapter.
var traps = []scenario{
	// A panic unwinds through the middleware, and must not look like a handler
	// that returned. Wherever the recovery stands, nothing is saved.
	// Fails without the check of exchange.returned in exchange.end.
	{name: "1 a panic", run: func(f *fixture) {
		for _, where := range []place{nowhere, outside, inside} {
			s := f.serve(map[string]handler{
				"/panic": func(x *call) { x.Login("mallory"); x.Set("a", "2"); panic("on purpose") },
				"/late":  func(x *call) { x.w.Write([]byte("begun")); x.Set("a", "2"); panic("on purpose") },
				"/abort": func(x *call) { x.Set("a", "2"); panic(http.ErrAbortHandler) },
			}, func(a *app) { a.recovery = where })
			b := s.browser()
			b.get("/set?a=1").sets()
			f.probe.take()
			a, err := b.send("/panic")
			if where == nowhere && err == nil || where != nowhere && (err != nil || a.status != 500 || len(a.cookies) > 0) {
				f.Errorf("recovery %v: %+v, %v", where, a, err)
			}
			// A recovery inside may make of these a handler that returned
			// after a 200: there is no panic to be seen.
			if where != inside {
				b.send("/abort")
				b.send("/late")
			}
			if w := f.probe.writes(); len(w) > 0 {
				f.Errorf("recovery %v: a panic saved: %v", where, w)
			}
			b.get("/read").is(200, "nobody a=1")
		}
	}},

	// An answer without a body may be sent by the framework after all
	// middleware, on a writer of its own. The session is saved before, with that
	// status, and once.
	// Fails without exchange.end (or ginsession's settle after c.Next).
	{name: "2 a status only", run: func(f *fixture) {
		s := f.serve(map[string]handler{
			"/202": func(x *call) { x.Set("a", "1"); x.status(202) },
			"/502": func(x *call) { x.Set("a", "2"); x.status(502) },
			"/503": func(x *call) { x.Set("a", "3"); x.status(503); io.WriteString(x.w, "failed") },
		})
		b := s.browser()
		b.get("/202").is(202, "").sets()
		if calls := f.probe.take(); !slices.Equal(calls, []string{create}) {
			f.Errorf("store calls: %v", calls)
		}
		b.get("/502").is(502, "").silent()
		b.get("/503").is(503, "failed").silent()
		if w := f.probe.writes(); len(w) > 0 {
			f.Errorf("a failed answer saved: %v", w)
		}
	}},

	// When the session answers in the handler's place, nothing that runs later
	// adds to the answer or changes it.
	// Fails without the return of exchange.failure in exchange.begin.
	{name: "3 the error page", run: func(f *fixture) {
		var logged []int
		s := f.serve(map[string]handler{
			"/text":   func(x *call) { x.Set("a", "1"); x.text(201, "welcome"); x.fail(418, "and more") },
			"/status": func(x *call) { x.Set("a", "1"); x.status(204) },
			"/fail":   func(x *call) { x.Set("a", "1"); x.fail(404, "not here") },
			"/panic":  func(x *call) { x.Set("a", "1"); x.text(200, "welcome"); panic("on purpose") },
		}, knows(&logged), func(a *app) { a.recovery = outside })
		f.probe.fail(create, errorBefore)
		for _, path := range []string{"/text", "/status", "/fail", "/panic"} {
			a := s.browser().get(path).silent()
			if a.status != 503 || strings.Contains(a.body, "welcome") || strings.Contains(a.body, "not here") {
				f.Errorf("%s: %d %q", path, a.status, a.body)
			}
		}
		if !slices.Equal(logged, []int{503, 503, 503, 503}) {
			f.Errorf("the framework believes that it sent %v", logged)
		}
	}},

	// What the framework knows of its response stays true, for the logs and
	// metrics outside.
	// Fails if ginsession's writer records anything itself, or if an echo
	// adapter changes the outer response rather than putting its own before it.
	{name: "4 facts for logs", run: func(f *fixture) {
		var logged []int
		s := f.serve(map[string]handler{
			"/text":     func(x *call) { x.text(201, "ok") },
			"/write":    func(x *call) { io.WriteString(x.w, "ok") },
			"/redirect": func(x *call) { x.redirect("/read") },
			"/fail":     func(x *call) { x.fail(403, "no") },
			"/flush":    func(x *call) { x.w.WriteHeader(206); x.w.(http.Flusher).Flush() },
			"/none":     func(x *call) { x.User() },
		}, knows(&logged))
		b := s.browser()
		b.get("/set?a=1")
		want := []int{200}
		for path, status := range map[string]int{"/text": 201, "/write": 200, "/redirect": 302, "/fail": 403, "/flush": 206, "/none": 200, "/static": 200} {
			if a := b.get(path); a.status != status {
				f.Errorf("%s: %d, want %d", path, a.status, status)
			}
			want = append(want, status)
		}
		if !slices.Equal(logged, want) {
			f.Errorf("the framework believes that it sent %v, not %v", logged, want)
		}
	}},

	// Handlers ask their writer for optional interfaces by type assertion, so
	// that an Unwrap method is not enough.
	// Fails if writer.go's choice of type loses one.
	{name: "5 assertions", run: func(f *fixture) {
		s := f.serve(map[string]handler{"/ask": func(x *call) {
			_, flusher := x.w.(http.Flusher)
			_, hijacker := x.w.(http.Hijacker)
			_, unwrapper := x.w.(interface{ Unwrap() http.ResponseWriter })
			x.text(200, fmt.Sprint(flusher, hijacker, unwrapper))
		}})
		s.browser().get("/ask").is(200, "true true true")
	}},

	// And the same when net/http's middleware stands around a whole application,
	// whose framework asserts interfaces of what it is given.
	{name: "5 around a framework", run: func(f *fixture) {
		a := app{managers: []*core.Manager{f.manager}, routes: map[string]handler{
			"/socket": func(x *call) {
				conn, _, err := x.w.(http.Hijacker).Hijack()
				if err != nil {
					f.Error(err)
					return
				}
				conn.Write([]byte("taken over\n"))
				conn.Close()
			},
			"/set": standard["/set"],
		}}
		server := httptest.NewServer(f.manager.Handler(f.adapter.build(a)))
		defer server.Close()
		b := (&site{f, server}).browser()
		b.get("/set?a=1").is(200, "set").sets()
		_, r := b.dial("/socket")
		if line, err := r.ReadString('\n'); line != "taken over\n" {
			f.Errorf("%q, %v", line, err)
		}
	}},

	// The middleware's request is a copy, of which net/http does not know. The
	// files of an upload are removed all the same. (That the framework's context
	// gets its request and writer back is TestRestores, beside each adapter.)
	// Fails without the removal in exchange.end.
	{name: "6 the request is a copy", run: uploads},

	// A framework may render an error that a handler returned after all
	// middleware. The session's cookie is in the header by then, and the status
	// of the rendered error decides what is kept.
	// Fails if an echo adapter returns the error without rendering it.
	{name: "7 returned errors", run: func(f *fixture) {
		s := f.serve(map[string]handler{
			"/403": func(x *call) { x.Set("tries", "1"); x.fail(403, "wrong password") },
			"/500": func(x *call) { x.Set("tries", "2"); x.fail(500, "broken") },
		})
		b := s.browser()
		a := b.get("/403").sets()
		if a.status != 403 || strings.Count(a.body, "wrong password") != 1 {
			f.Errorf("%d %q", a.status, a.body)
		}
		if calls := f.probe.take(); !slices.Equal(calls, []string{create}) {
			f.Errorf("store calls: %v", calls)
		}
		if a := b.get("/500").silent(); a.status != 500 {
			f.Errorf("%d %q", a.status, a.body)
		}
		b.get("/read").is(200, "nobody tries=1")
	}},

	// A handler that asks for a session nobody put there gets a panic that says
	// which line is missing.
	{name: "missing middleware", run: func(f *fixture) {
		h := f.adapter.build(app{routes: map[string]handler{"/": func(*call) { f.Error("the handler ran without a session") }}})
		defer func() {
			if said := fmt.Sprint(recover()); !strings.Contains(said, f.adapter.missing) {
				f.Errorf("it said %q, want it to name %q", said, f.adapter.missing)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}},
}

// uploads checks that the temporary files of an upload go with the request,
// although net/http knows another copy of that.
func uploads(f *fixture) {
	var file string
	s := f.serve(map[string]handler{"/upload": func(x *call) {
		if err := x.r.ParseMultipartForm(1); err != nil {
			f.Error(err)
			return
		}
		part, err := x.r.MultipartForm.File["file"][0].Open()
		if err != nil {
			f.Error(err)
			return
		}
		defer part.Close()
		if on, ok := part.(*os.File); ok {
			file = on.Name()
		}
		x.text(200, "ok")
	}})
	s.server.Client().Transport.(*http.Transport).MaxConnsPerHost = 1
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, _ := form.CreateFormFile("file", "large.txt")
	part.Write(bytes.Repeat([]byte("x"), 4<<10)) // beyond what is held in memory
	form.Close()
	b := s.browser()
	b.get("/upload", method("POST"), func(r *http.Request) {
		r.Body = io.NopCloser(&body)
		r.Header.Set("Content-Type", form.FormDataContentType())
	}).is(200, "ok")
	if file == "" {
		f.Fatal("the upload was not written to a file")
	}
	// The connection serves another request only when it is done with this one.
	b.get("/static")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		f.Errorf("%s is still there: %v", file, err)
		os.Remove(file)
	}
}
