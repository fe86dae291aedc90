package dump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/csrf"
	"github.com/coatcheck/sessions/core/dump"
	"github.com/coatcheck/sessions/core/formtoken"
	"github.com/coatcheck/sessions/core/sessiontest"
	"github.com/coatcheck/sessions/stores/memorystore"
)

func text(t *testing.T, s *core.Session) string {
	t.Helper()
	var b strings.Builder
	if err := dump.Write(&b, s); err != nil {
		t.Error(err)
	}
	return b.String()
}

// sealed makes a session full of things that nobody else may see, and returns
// a request with its cookie and what must not be printed.
func sealed(t *testing.T, m *core.Manager) (r *http.Request, secrets []string) {
	var form, forged string
	r = sessiontest.With(t, m, httptest.NewRequest("GET", "/", nil), func(s *core.Session) {
		s.Login("alice@example.org")
		s.Set("card", "4111-1111")
		s.Set("visits", 987654321)
		s.Namespace("shop").Set("cart", map[string]string{"item": "underwear"})
		form, forged = formtoken.New(s, "order"), csrf.Token(s)
	})
	cookie, err := r.Cookie(m.CookieName())
	if err != nil {
		t.Fatal(err)
	}
	return r, []string{"alice", "4111", "987654321", "underwear", cookie.Value, cookie.Value[:20], form, form[12:], forged}
}

// TestWrite is feature QX10: the times are there, what identifies is not.
func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{}), CountRequests: true})
		defer m.Close()
		start := time.Now().UTC()
		r, secrets := sealed(t, m)
		time.Sleep(90 * time.Second)
		m.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			got := text(t, s)
			stamp := func(d time.Duration) string { return start.Add(d).Format("2006-01-02T15:04:05.000Z") }
			for _, want := range []string{
				"session   " + s.ID().String() + "\n",
				"new       false\ndirty     false\nuser      logged in\n",
				"created   " + stamp(0) + ", 1m30s ago\n",
				"login     " + stamp(0) + ", 1m30s ago\n",
				"access    " + stamp(0) + ", 1m30s ago\n",
				"expires   " + stamp(31*time.Minute+30*time.Second) + ", in 30m0s\n",
				"deadline  " + stamp(24*time.Hour) + ", in 23h58m30s\n",
				"idle      30m0s\n",
				"requests  2\n",
				"keys      2 \"card\" \"visits\"\n",
				"keys      1 \"cart\" in namespace shop\n",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("lacks %q:\n%s", want, got)
				}
			}
			for _, secret := range secrets {
				if strings.Contains(got, secret) {
					t.Errorf("shows %q:\n%s", secret, got)
				}
			}
			if s.Dirty() || s.Err() != nil {
				t.Errorf("to dump changes the session: %v, %v", s.Dirty(), s.Err())
			}
			s.Set("more", 1)
			if got := text(t, s); !strings.Contains(got, "dirty     true\n") || !strings.Contains(got, `"more"`) {
				t.Errorf("a change does not show:\n%s", got)
			}
		})
	})
}

// TestEmpty: to dump a session stores nothing, and an empty one stays empty.
func TestEmpty(t *testing.T) {
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: m.CookieName(), Value: "junk"})
	rec := httptest.NewRecorder()
	m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) {
		const want = "session   not stored\nrejected  seal\nnew       true\ndirty     false\nuser      none\nidle      30m0s\nkeys      0\n"
		if got := text(t, core.Get(r.Context())); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
	if rec.Header().Get("Set-Cookie") != "" {
		t.Error("a cookie is set")
	}
}

// TestPanic is feature W27: the report of a panic shows no values.
func TestPanic(t *testing.T) {
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	r, secrets := sealed(t, m)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	m.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				var b strings.Builder
				dump.Write(&b, core.Get(r.Context()))
				logger.Error("panic", "session", b.String())
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		core.Get(r.Context()).Set("pin", "123456")
		panic("handler")
	})
	for _, secret := range append(secrets, "123456") {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log shows %q: %s", secret, log.String())
		}
	}
	for _, want := range []string{"created", "card", "pin"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

// TestKeysCannotForgeLines: the name of a key is data, and there may be many.
func TestKeysCannotForgeLines(t *testing.T) {
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	m.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(_ http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Set("a\nuser      none", 1)
		for i := range 149 {
			s.Set(fmt.Sprintf("k%03d", i), i)
		}
		got := text(t, s)
		if strings.Count(got, "\nuser ") != 1 {
			t.Errorf("a key made a line:\n%s", got)
		}
		if !strings.Contains(got, "keys      150 ") || !strings.Contains(got, `"k098" and 50 more`) {
			t.Errorf("150 keys:\n%s", got)
		}
	})
}

// down is a store that fails.
type down struct{ core.Store }

func (d down) Load(context.Context, core.ID) (core.Record, error) {
	return core.Record{}, errors.New("down")
}

func TestUnreadable(t *testing.T) {
	cfg := core.Config{Store: memorystore.New(memorystore.Config{}), Secrets: []core.Secret{core.GenerateSecret()}, Logger: slog.New(slog.DiscardHandler)}
	r, _ := sealed(t, core.MustNew(cfg))
	cfg.Store = down{cfg.Store}
	core.MustNew(cfg).Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
		if got := text(t, core.Get(r.Context())); !strings.Contains(got, "error     "+core.ErrUnavailable.Error()) {
			t.Errorf("the outage does not show:\n%s", got)
		}
	})
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriteError(t *testing.T) {
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	m.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(_ http.ResponseWriter, r *http.Request) {
		if err := dump.Write(full{}, core.Get(r.Context())); !errors.Is(err, io.ErrShortWrite) {
			t.Error(err)
		}
	})
}

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	app := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Set("card", "4111-1111-1111-1111")
		s.Namespace("shop").Set("cart", []string{"hat"})
		var b strings.Builder
		dump.Write(&b, s)
		for line := range strings.Lines(b.String()) {
			if !strings.Contains(line, "Z, ") { // the times
				os.Stdout.WriteString(line)
			}
		}
	}))
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	// Output:
	// session   not stored
	// new       true
	// dirty     true
	// user      none
	// idle      30m0s
	// keys      1 "card"
	// keys      1 "cart" in namespace shop
}
