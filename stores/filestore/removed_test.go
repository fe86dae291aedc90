package filestore

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Feature QX26. Fails if a file that somebody removed is a failure, or is
// written anew by the request that misses it.
func TestFileRemoved(t *testing.T) {
	f := newFixture(t)
	store := f.open()
	m := core.MustNew(core.Config{Store: store, Secrets: []core.Secret{core.GenerateSecret()}, Clock: f.clock.Now})
	var id core.ID
	serve := func(cookie *http.Cookie, h func(s *core.Session)) *http.Response {
		r := httptest.NewRequest("GET", "/", nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		rec := httptest.NewRecorder()
		m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			h(s)
			if err := s.Save(r.Context()); err != nil {
				t.Error(err)
			}
			id = s.ID()
		})
		if rec.Code != http.StatusOK {
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
		return rec.Result()
	}
	login := func(s *core.Session) { s.Login("ann") }
	cookie := serve(nil, login).Cookies()[0]
	first := id
	files, err := filepath.Glob(filepath.Join(f.dir, "records", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of records: %q, %v", files, err)
	}
	f.must(os.Remove(files[0]))

	res := serve(cookie, func(s *core.Session) {
		if s.User() != "" || s.Rejected() != core.ReasonUnknown {
			t.Errorf("user %q, rejected %q", s.User(), s.Rejected())
		}
	})
	if len(res.Cookies()) != 0 {
		t.Errorf("Set-Cookie: %v", res.Cookies())
	}
	cookie = serve(cookie, login).Cookies()[0]
	if id.IsZero() || id == first {
		t.Errorf("ID %v after the second login, %v after the first", id, first)
	}
	serve(cookie, func(s *core.Session) {
		if s.User() != "ann" {
			t.Error("the second login does not hold")
		}
	})
}
