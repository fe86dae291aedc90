package core_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// A session that no handler used has no state. Fails if something that happens
// to a request takes it for granted: that would be a nil pointer.
func TestUnusedSession(t *testing.T) {
	var kept *core.Session
	for _, tc := range []struct {
		name   string
		h      func(w http.ResponseWriter, r *http.Request, s *core.Session)
		status int
	}{
		{"nothing", func(http.ResponseWriter, *http.Request, *core.Session) {}, 200},
		{"answer", func(w http.ResponseWriter, _ *http.Request, _ *core.Session) { w.Write([]byte("ok")) }, 200},
		{"failure", func(w http.ResponseWriter, _ *http.Request, _ *core.Session) { w.WriteHeader(500) }, 500},
		{"panic", func(http.ResponseWriter, *http.Request, *core.Session) { panic(http.ErrAbortHandler) }, 0},
		{"bad key", func(_ http.ResponseWriter, _ *http.Request, s *core.Session) { s.Set("", 1) }, 500},
		{"bad key in a namespace", func(_ http.ResponseWriter, _ *http.Request, s *core.Session) { s.Namespace("a b") }, 500},
		{"printed", func(w http.ResponseWriter, _ *http.Request, s *core.Session) {
			if s.String() != "sessions.Session()" || s.GoString() != s.String() || s.LogValue().String() != s.String() {
				t.Errorf("printed as %q", s)
			}
		}, 200},
		{"saved", func(_ http.ResponseWriter, r *http.Request, s *core.Session) {
			if err := s.Save(r.Context()); err != nil || s.Err() != nil || s.Dirty() {
				t.Errorf("Save: %v, Err: %v", err, s.Err())
			}
		}, 200},
		{"flushed", func(w http.ResponseWriter, _ *http.Request, _ *core.Session) {
			http.NewResponseController(w).Flush()
		}, 200},
		{"hijacked", func(w http.ResponseWriter, _ *http.Request, _ *core.Session) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
			conn.Close()
		}, 200},
		{"kept", func(_ http.ResponseWriter, _ *http.Request, s *core.Session) { kept = s }, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := memorystore.New(memorystore.Config{})
			defer mem.Close()
			m := core.MustNew(core.Config{Store: mem})
			srv := httptest.NewServer(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tc.h(w, r, core.Get(r.Context()))
			})))
			defer srv.Close()
			resp, err := http.Get(srv.URL)
			switch {
			case tc.status == 0 && err == nil:
				t.Fatalf("answered %d after a panic", resp.StatusCode)
			case tc.status == 0 && !strings.Contains(err.Error(), "EOF"):
				t.Fatal(err)
			case tc.status == 0:
				return
			case err != nil:
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tc.status || len(resp.Cookies()) != 0 {
				t.Fatalf("status %d, cookies %v, want %d and none", resp.StatusCode, resp.Cookies(), tc.status)
			}
		})
	}

	// After its request.
	if kept.Set("k", 1); !errors.Is(kept.Err(), core.ErrEnded) {
		t.Errorf("Err is %v, want ErrEnded", kept.Err())
	}
	if id, user, why := kept.ID(), kept.User(), kept.Rejected(); !id.IsZero() || user != "" || why != "" || kept.Dirty() || kept.Destroy() == nil {
		t.Errorf("a session that ended unused has ID %v, user %q, reason %q", id, user, why)
	}
	if !kept.CreatedAt().IsZero() || !kept.LoginAt().IsZero() || !kept.ExpiresAt().IsZero() || kept.Requests() != 0 || !kept.IsNew() || len(kept.Keys()) != 0 || kept.Len() != 0 {
		t.Error("a session that ended unused has facts to tell")
	}
	kept.Login("u")
	kept.Regenerate()
	kept.Clear()
	kept.MarkDirty()
	kept.Persist(1)
}
