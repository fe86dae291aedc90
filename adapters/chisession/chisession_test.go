package chisession_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/go-chi/chi/v5"
)

func TestLookup(t *testing.T) {
	if _, ok := chisession.Lookup(httptest.NewRequest("GET", "/", nil)); ok {
		t.Error("a session without the middleware")
	}
}

// TestGroup checks the middleware on a part of the routes only.
func TestGroup(t *testing.T) {
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	defer m.Close()
	r := chi.NewRouter()
	has := func(w http.ResponseWriter, r *http.Request) {
		if _, ok := chisession.Lookup(r); !ok {
			w.WriteHeader(http.StatusTeapot)
		}
	}
	r.Get("/out", has)
	r.Group(func(r chi.Router) {
		r.Use(chisession.New(m))
		r.Get("/in", has)
	})
	for path, want := range map[string]int{"/in": 200, "/out": http.StatusTeapot} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
