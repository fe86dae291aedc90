package memorystore_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// A request that the full store refuses is answered with 503, and the hook for
// errors sees the numbers. Fails if the manager passes on the bare sentinel, or
// takes the refusal for an outage.
func TestFullStoreAnswers(t *testing.T) {
	var seen error
	store := memorystore.New(memorystore.Config{MaxSessions: 1, MaxBytes: 3000})
	defer store.Close()
	sessions := core.MustNew(core.Config{
		Store:  store,
		Logger: slog.New(slog.DiscardHandler),
		OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
			seen = err
			w.WriteHeader(core.Status(err))
		},
	})
	handler := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		switch r.URL.Path {
		case "/login":
			s.Login("ann")
		case "/grow":
			s.Set("big", make([]byte, 4000))
		}
		w.WriteHeader(http.StatusOK)
	}))
	serve := func(path string, cookies []*http.Cookie) *http.Response {
		seen = nil
		r := httptest.NewRequest("POST", path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Result()
	}

	login := serve("/login", nil)
	if login.StatusCode != http.StatusOK {
		t.Fatalf("login: %d, %v", login.StatusCode, seen)
	}
	for _, request := range []struct {
		name, path string
		cookies    []*http.Cookie
	}{
		{"create", "/login", nil},
		{"update", "/grow", login.Cookies()},
	} {
		response := serve(request.path, request.cookies)
		var full *memorystore.FullError
		if response.StatusCode != http.StatusServiceUnavailable || !errors.As(seen, &full) || full.Sessions != 1 {
			t.Errorf("%s: %d, %v", request.name, response.StatusCode, seen)
		}
		if errors.Is(seen, core.ErrUnavailable) {
			t.Errorf("%s: a full store is no outage: %v", request.name, seen)
		}
		if len(response.Cookies()) > 0 {
			t.Errorf("%s: refused, but sets %v", request.name, response.Cookies())
		}
	}
}
