package core_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Features QX22 and F58: with sessions turned off handlers run as ever, and
// nothing is kept.
func TestDisabled(t *testing.T) {
	m := core.Disabled()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", m.CookieName()+"=anything")
	rec := httptest.NewRecorder()
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		mustBe(t, "reason", s.Rejected(), "")
		s.Set("k", "v")
		v, _ := s.Get("k")
		mustBe[any](t, "value", v, "v")
		s.Login("alice")
		mustBe(t, "user", s.User(), "alice")
		s.Persist(1e12)
		if err := s.Save(r.Context()); err != nil {
			t.Error(err)
		}
		io.WriteString(w, "done")
		s.Set("late", 1)
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
		s.Set("k", "w")
	})).ServeHTTP(rec, r)
	mustStatus(t, rec, 200)
	if got, ok := rec.Result().Header["Set-Cookie"]; ok {
		t.Errorf("Set-Cookie %q", got)
	}
	if ok, err := m.HasSession(t.Context(), r); ok || err != nil {
		t.Errorf("HasSession: %v, %v", ok, err)
	}

	// A program that looks after its sessions finds none, which is no failure.
	ctx := t.Context()
	if n, err := m.RevokeUser(ctx, "alice"); n != 0 || err != nil {
		t.Errorf("RevokeUser: %d, %v", n, err)
	}
	if all, err := m.UserSessions(ctx, "alice"); len(all) != 0 || err != nil {
		t.Errorf("UserSessions: %v, %v", all, err)
	}
	for info, err := range m.Sessions(ctx) {
		t.Errorf("Sessions: %v, %v", info, err)
	}
	if n, err := m.Count(ctx); n != 0 || err != nil {
		t.Errorf("Count: %d, %v", n, err)
	}
}
