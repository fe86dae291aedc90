package cookiestore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// Fails if Unpack does not ask the list (security C1, C4).
func TestLogoutEndsEveryCopy(t *testing.T) {
	s := newSite(t, revocable)
	first := s.login("user-42")
	second := s.use(first, func(s *core.Session) { s.Set("k", "v") }).ok().sets()
	s.events()
	s.use(second, func(session *core.Session) {
		if err := session.Destroy(); err != nil {
			t.Error(err)
		}
	}).ok().clears()
	if got := s.events(); got != "loaded, destroyed(logout)" {
		t.Errorf("events: %s", got)
	}
	for _, cookie := range []string{first, second} {
		s.refuses(cookie, core.ReasonRevoked)
	}
	// Logging out again has nothing to end and nothing to clear: another tab
	// may have logged in meanwhile.
	s.use(second, func(session *core.Session) {
		if err := session.Destroy(); err != nil {
			t.Error(err)
		}
	}).ok().silent()
	// The client is not locked out.
	s.use(second, func(s *core.Session) { s.Login("user-42") }).ok().sets()
}

// Fails if openCarried drops the record of a revoked session.
func TestRevokedSessionIsNamedInTheEvent(t *testing.T) {
	s := newSite(t, revocable)
	cookie := s.login("user-42")
	var id core.ID
	s.use(cookie, func(s *core.Session) { id = s.ID(); s.Destroy() })
	s.events()
	s.use(cookie, func(s *core.Session) { s.User() })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.evs) != 1 || s.evs[0].Kind != core.EventRejected || s.evs[0].Reason != core.ReasonRevoked || s.evs[0].ID != id {
		t.Errorf("events %+v, want the rejection of %v", s.evs, id)
	}
}

// Fails if Store.End answers nil without a list, or Destroy makes the error
// sticky (security C4).
func TestLogoutWithoutRevocations(t *testing.T) {
	s := newSite(t)
	cookie := s.login("user-42")
	r := s.send(cookie, func(w http.ResponseWriter, session *core.Session) {
		if err := session.Destroy(); !errors.Is(err, core.ErrNotRevocable) {
			t.Errorf("Destroy: %v", err)
		}
		if session.Err() != nil || session.User() != "" {
			t.Errorf("afterwards: %v, user %q", session.Err(), session.User())
		}
		io.WriteString(w, "ok")
	})
	r.ok().clears()
	if got := s.user(cookie); got != "user-42" {
		t.Errorf("documented: a copy stays valid; it opens a session of %q", got)
	}
	// A message for the next page begins a new session, in place of the old.
	s.use(cookie, func(s *core.Session) { s.Destroy(); s.Set("flash", "bye") }).ok().sets()
}

// Fails if update ends no generation with the carrier (security B2).
func TestRotationEndsTheOldCookie(t *testing.T) {
	for name, rotate := range map[string]func(*core.Session){
		"Login":      func(s *core.Session) { s.Login("user-42") },
		"Regenerate": func(s *core.Session) { s.Regenerate() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, revocable)
			old := s.begin()
			fresh := s.use(old, rotate).ok().sets()
			s.refuses(old, core.ReasonRevoked)
			if s.get(fresh, "k") != "v" {
				t.Error("the new cookie lost the values")
			}
			// Once more, from the second generation to the third.
			third := s.use(fresh, rotate).ok().sets()
			s.refuses(fresh, core.ReasonRevoked)
			s.refuses(old, core.ReasonRevoked)
			s.use(third, func(s *core.Session) { s.Destroy() }).ok().clears()
			s.refuses(third, core.ReasonRevoked)
			if s.list.Len() != 1 {
				t.Errorf("one session takes %d entries of the list", s.list.Len())
			}
		})
	}
	t.Run("without revocations", func(t *testing.T) {
		s := newSite(t)
		old := s.begin()
		fresh := s.use(old, func(s *core.Session) { s.Login("user-42") }).ok().sets()
		if s.user(fresh) != "user-42" {
			t.Error("not logged in")
		}
		// Documented: the old cookie stays what it was, which is not logged in.
		if s.user(old) != "" || s.get(old, "k") != "v" {
			t.Errorf("the old cookie opens a session of %q with %v", s.user(old), s.get(old, "k"))
		}
	})
}

// A fixation attack: fails if Login kept what is in the cookie and the cookie
// itself, instead of sealing a new one.
func TestPlantedCookieIsWorthless(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		planted := s.begin()
		s.use(planted, func(s *core.Session) { s.Login("victim") }).ok().sets()
		if user := s.user(planted); user != "" {
			t.Errorf("who planted the cookie is now %q", user)
		}
	})
}

// Fails if the list lets two end one generation: then both would keep the ID,
// and one of the two cookies would be dead.
func TestTwoLoginsAtOnce(t *testing.T) {
	s := newSite(t, revocable)
	anonymous := s.begin()
	var inner reply
	outer := s.use(anonymous, func(session *core.Session) {
		session.Login("user-42")
		session.Set("tab", "outer")
		inner = s.use(anonymous, func(s *core.Session) { s.Login("user-42"); s.Set("tab", "inner") })
	})
	var ids [2]core.ID
	for i, r := range []reply{inner.ok(), outer.ok()} {
		s.use(r.sets(), func(s *core.Session) {
			ids[i] = s.ID()
			if tab, _ := s.Get("tab"); s.User() != "user-42" || tab != [2]any{"inner", "outer"}[i] {
				t.Errorf("login %d: user %q, tab %v", i, s.User(), tab)
			}
			if k, ok := s.Get("k"); ok != (i == 0) {
				t.Errorf("login %d: the value from before is %v", i, k)
			}
		}).ok()
	}
	if ids[0] == ids[1] || ids[0].IsZero() || ids[1].IsZero() {
		t.Errorf("the IDs are %v and %v, want two", ids[0], ids[1])
	}
}

// Fails under -race, or with several winners, if MemoryRevocations.End is not
// atomic.
func TestManyLoginsAtOnce(t *testing.T) {
	s := newSite(t, revocable)
	anonymous := s.begin()
	var id core.ID
	s.use(anonymous, func(s *core.Session) { id = s.ID() })
	const n = 16
	replies := make([]reply, n)
	var together, done sync.WaitGroup
	together.Add(n)
	for i := range n {
		done.Go(func() {
			replies[i] = s.use(anonymous, func(s *core.Session) {
				s.Login(fmt.Sprint("user-", i))
				together.Done()
				together.Wait() // all have loaded before the first commits
			})
		})
	}
	done.Wait()
	kept := 0
	for i, r := range replies {
		s.use(r.ok().sets(), func(s *core.Session) {
			if s.User() != fmt.Sprint("user-", i) {
				t.Errorf("login %d: the cookie opens a session of %q", i, s.User())
			}
			if s.ID() == id {
				kept++
			}
		}).ok()
	}
	if kept != 1 {
		t.Errorf("%d logins kept the ID, want one", kept)
	}
	s.refuses(anonymous, core.ReasonRevoked)
}

// Fails if update or refresh does not ask the list again, or if end does not
// record the generation (security C2, C3).
func TestSlowRequestCannotUndoALogout(t *testing.T) {
	for name, slow := range map[string]struct {
		handle func(*core.Session)
		status int
	}{
		"write":      {func(s *core.Session) { s.Set("k", "slow") }, http.StatusConflict},
		"regenerate": {func(s *core.Session) { s.Regenerate() }, http.StatusConflict},
		"remember":   {func(s *core.Session) { s.Persist(30 * 24 * time.Hour) }, http.StatusConflict},
		"empty":      {func(s *core.Session) { s.Delete("k") }, http.StatusConflict},
		"read":       {func(s *core.Session) { s.Get("k") }, http.StatusOK},
		"logout":     {func(s *core.Session) { s.Destroy() }, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, revocable)
			cookie := s.begin()
			s.clock.Advance(10 * time.Minute) // a read owes a touch
			r := s.use(cookie, func(session *core.Session) {
				session.Get("k")
				s.use(cookie, func(s *core.Session) { s.Destroy() }).ok().clears()
				slow.handle(session)
			})
			r.status(slow.status).silent()
			if err := s.failure(); (slow.status == http.StatusConflict) != errors.Is(err, core.ErrGone) {
				t.Errorf("the error page says %v", err)
			}
			s.refuses(cookie, core.ReasonRevoked)
		})
	}
}

// Fails if removeEmpty ends more than the generation that it has seen: the
// login would be ended by a request that began before it.
func TestSlowEmptyingCannotUndoALogin(t *testing.T) {
	s := newSite(t, revocable)
	anonymous := s.begin()
	var login reply
	s.use(anonymous, func(session *core.Session) {
		session.Pop("k")
		login = s.use(anonymous, func(s *core.Session) { s.Login("user-42") })
	}).status(http.StatusConflict).silent()
	if user := s.user(login.ok().sets()); user != "user-42" {
		t.Errorf("the login is now a session of %q", user)
	}
}

// Fails if removeEmpty only clears the cookie: the last value would come back
// with a copy of it.
func TestEmptiedSessionIsOver(t *testing.T) {
	s := newSite(t, revocable)
	cookie := s.begin()
	s.use(cookie, func(s *core.Session) { s.Pop("k") }).ok().clears()
	s.refuses(cookie, core.ReasonRevoked)

	s = newSite(t)
	cookie = s.begin()
	s.use(cookie, func(s *core.Session) { s.Pop("k") }).ok().clears()
	if s.get(cookie, "k") != "v" {
		t.Error("documented: without a list a copy brings the value back")
	}
}

// Fails if the slow request's cookie were of the new generation, or if Destroy
// asked for the generation it has seen.
func TestLogoutWithACookieFromBeforeTheLogin(t *testing.T) {
	s := newSite(t, revocable)
	anonymous := s.begin()
	var login string
	s.use(anonymous, func(session *core.Session) {
		session.Get("k")
		login = s.use(anonymous, func(s *core.Session) { s.Login("user-42") }).ok().sets()
		session.Destroy()
	}).ok().clears()
	s.refuses(login, core.ReasonRevoked)
}

var errDown = errors.New("connection refused")

// Fails closed (security H6, H7, C6). Fails if an error of the list were taken
// for "not on it", or for "was on it".
func TestListIsDown(t *testing.T) {
	for name, handle := range map[string]func(*core.Session){
		"read":       func(s *core.Session) { s.User() },
		"write":      func(s *core.Session) { s.Set("k", "w") },
		"logout":     func(s *core.Session) { s.Destroy() },
		"login":      func(s *core.Session) { s.Login("user-43") },
		"regenerate": func(s *core.Session) { s.Regenerate() },
		"remember":   func(s *core.Session) { s.Persist(30 * 24 * time.Hour) },
		"empty":      func(s *core.Session) { s.Clear(); s.Regenerate() },
	} {
		for _, when := range []string{"from the start", "after the load"} {
			t.Run(name+" "+when, func(t *testing.T) {
				s := newSite(t, revocable)
				cookie := s.use("", func(s *core.Session) { s.Login("user-42"); s.Set("k", "v") }).ok().sets()
				if when == "from the start" {
					s.list.fail(errDown)
				}
				r := s.use(cookie, func(session *core.Session) {
					session.User()
					s.list.fail(errDown)
					handle(session)
				})
				if name == "read" && when == "after the load" {
					r.ok().silent()
				} else {
					r.status(http.StatusServiceUnavailable).silent()
					if err := s.failure(); !errors.Is(err, core.ErrUnavailable) || !errors.Is(err, errDown) {
						t.Errorf("the error page says %v", err)
					}
				}
				s.list.fail(nil)
				if s.user(cookie) != "user-42" || s.get(cookie, "k") != "v" {
					t.Errorf("afterwards the session is of %q, with %v", s.user(cookie), s.get(cookie, "k"))
				}
			})
		}
	}
	t.Run("touch", func(t *testing.T) {
		s := newSite(t, revocable)
		cookie := s.begin()
		s.clock.Advance(10 * time.Minute)
		s.events()
		s.use(cookie, func(session *core.Session) {
			session.Get("k")
			s.list.fail(errDown)
		}).ok().silent()
		if got := s.events(); got != "loaded, touch failed" {
			t.Errorf("events: %s", got)
		}
	})
	t.Run("new session", func(t *testing.T) {
		s := newSite(t, revocable)
		s.list.fail(errDown)
		s.login("user-42") // has nothing to ask
		s.send(s.begin(), func(w http.ResponseWriter, _ *core.Session) { io.WriteString(w, "ok") }).ok().silent()
	})
}

// Fails without failed: a list that lets an answer of a store slip through
// would turn a logout that failed into one that was done before.
func TestErrorOfTheListIsNoAnswer(t *testing.T) {
	for _, answer := range []error{core.ErrNotFound, core.ErrExpired, core.ErrExists, core.ErrConflict, core.ErrCorrupt, core.ErrNotRevocable} {
		s := newSite(t, revocable)
		cookie := s.login("user-42")
		for _, handle := range []func(*core.Session){
			func(s *core.Session) { s.User() },
			func(session *core.Session) { session.User(); s.list.fail(answer); session.Destroy() },
			func(session *core.Session) { session.User(); s.list.fail(answer); session.Regenerate() },
		} {
			s.use(cookie, handle)
			s.list.fail(answer)
			s.use(cookie, handle).status(http.StatusServiceUnavailable).silent()
			s.list.fail(nil)
			if s.user(cookie) != "user-42" {
				t.Fatalf("%v: the session is gone", answer)
			}
		}
	}
}

// Fails if a request asks more often than it must: reading asks once, writing
// twice, a page that does not use the session never.
func TestCallsOfTheList(t *testing.T) {
	s := newSite(t, revocable)
	cookie := s.begin()
	for _, c := range []struct {
		want   string
		handle func(*core.Session)
	}{
		{"", func(*core.Session) {}},
		{"ended", func(s *core.Session) { s.Get("k"); s.User() }},
		{"ended", func(s *core.Session) { s.Set("k", "v") }},
		{"ended ended", func(s *core.Session) { s.Set("k", "w") }},
		{"ended end", func(s *core.Session) { s.Regenerate() }},
	} {
		s.list.took()
		s.use(cookie, c.handle).ok()
		if got := s.list.took(); got != c.want {
			t.Errorf("calls %q, want %q", got, c.want)
		}
	}
	next := newSite(t, revocable, withSecrets(core.GenerateSecret(), s.secret))
	next.use(cookie, func(session *core.Session) { // to be sealed anew, once
		session.Get("k")
		if err := session.Save(t.Context()); err != nil {
			t.Error(err)
		}
	}).ok().sets()
	if got := next.list.took(); got != "ended ended" {
		t.Errorf("calls to seal anew: %q", got)
	}
	s.list.took()
	s.use("__Host-session=AAAA", func(s *core.Session) { s.Get("k") }).ok()
	if got := s.list.took(); got != "" {
		t.Errorf("junk reached the list: %s", got)
	}
}

const day = 24 * time.Hour

// Fails if End is given another time than Record.Horizon.
func TestRevocationIsKeptAsLongAsACookieLives(t *testing.T) {
	s := newSite(t, revocable)
	remembered := s.use("", func(s *core.Session) { s.Login("user-42"); s.Persist(30 * day) }).ok().sets()
	s.clock.Advance(time.Hour)
	shorter := s.use(remembered, func(session *core.Session) { session.SetExpiry(s.clock.Now().Add(time.Hour)) }).ok().sets()
	s.use(shorter, func(s *core.Session) { s.Destroy() }).ok().clears()
	s.clock.Advance(30*day - time.Hour - time.Millisecond)
	sweep(s)
	s.refuses(remembered, core.ReasonRevoked)
	s.clock.Advance(time.Minute) // a clock elsewhere may be behind
	sweep(s)
	s.refuses(remembered, core.ReasonRevoked)
	s.clock.Advance(time.Millisecond)
	sweep(s)
	s.refuses(remembered, core.ReasonExpired)
}

// sweep makes the list drop what is over.
func sweep(s *site) { s.list.MemoryRevocations.End(context.Background(), core.ID{}, 0, time.Time{}) }

// Fails if core.Session.update does not tell the list when a session is given
// a longer life: a copy of the cookie that knows only of the shorter would end
// the session for that long, and then the longer one would open it again.
func TestRevocationByACopyThatKnowsOfAShorterLife(t *testing.T) {
	for name, lengthen := range map[string]func(*core.Session){
		"Persist": func(s *core.Session) { s.Persist(30 * day) },
		"SetExpiry": func(s *core.Session) {
			s.SetIdleTimeout(30 * day)
			s.SetExpiry(time.UnixMilli(1_800_000_000_000).Add(30 * day))
		},
		"Login and Persist": func(s *core.Session) { s.Login("user-42"); s.Persist(30 * day) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, revocable)
			short := s.begin()
			var long string
			s.use(short, func(session *core.Session) {
				session.Get("k")
				long = s.use(short, lengthen).ok().sets()
				session.Destroy()
			}).ok().clears()
			s.refuses(long, core.ReasonRevoked)
			s.clock.Advance(2 * day)
			sweep(s)
			s.refuses(long, core.ReasonRevoked)
		})
	}
}

// Fails if Store.Delete does not record anything, or keeps it for less than a
// cookie can live.
func TestRevokeByID(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, revocable)
	cookie := s.use("", func(s *core.Session) { s.Login("user-42"); s.Persist(core.MaxLifetime) }).ok().sets()
	var id core.ID
	s.use(cookie, func(s *core.Session) { id = s.ID() })
	for i, want := range []bool{true, false} {
		if existed, err := s.m.Revoke(ctx, id); existed != want || err != nil {
			t.Errorf("Revoke, time %d: %t, %v", i+1, existed, err)
		}
	}
	s.clock.Advance(core.MaxLifetime - time.Second)
	sweep(s)
	s.refuses(cookie, core.ReasonRevoked)

	s = newSite(t)
	cookie = s.login("user-42")
	s.use(cookie, func(s *core.Session) { id = s.ID() })
	s.events()
	if existed, err := s.m.Revoke(ctx, id); existed || !errors.Is(err, core.ErrNotRevocable) {
		t.Errorf("Revoke without a list: %t, %v", existed, err)
	}
	if got := s.events(); got != "" {
		t.Errorf("nothing was ended, but there are events: %s", got)
	}
}

// Fails if ask compares with the generation alone: what the list is given for
// "all" fits a signed column, a generation need not.
func TestEndOfAllGenerations(t *testing.T) {
	s := cookiestore.New(cookiestore.Config{Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})})
	rec := core.Record{ID: core.ID{1}, Version: 1, Horizon: time.Now().Add(time.Hour)}
	if err := s.End(t.Context(), rec, math.MaxUint64); err != nil {
		t.Fatal(err)
	}
	for _, generation := range []uint64{1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		rec.Generation = generation
		if err := s.Update(t.Context(), rec); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("generation %d after the end of all: %v", generation, err)
		}
	}
}

// Fails if a full list forgets somebody, or if the logout reports success.
func TestListIsFull(t *testing.T) {
	s := newSite(t, revocable, func(s *site, cfg *core.Config) {
		s.list.MemoryRevocations = cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{MaxEntries: 2, Clock: s.clock.Now})
	})
	logout := func(s *core.Session) { s.Destroy() }
	a, b, c := s.login("a"), s.login("b"), s.login("c")
	s.use(a, logout).ok().clears()
	s.use(b, logout).ok().clears()
	s.use(c, logout).status(http.StatusServiceUnavailable).silent()
	var full *cookiestore.FullError
	if err := s.failure(); !errors.As(err, &full) || full.Limit != 2 || !errors.Is(err, core.ErrFull) || !strings.Contains(err.Error(), "2 entries") {
		t.Errorf("the error page says %v", err)
	}
	s.refuses(a, core.ReasonRevoked)
	s.refuses(b, core.ReasonRevoked)
	if s.user(c) != "c" {
		t.Error("the session that could not be ended is gone")
	}
	// What is over anyway makes room.
	s.clock.Advance(day + 2*time.Minute)
	d := s.login("d")
	s.use(d, logout).ok().clears()
	s.refuses(d, core.ReasonRevoked)
}

// slowList is a list behind a network.
type slowList struct {
	cookiestore.Revocations
	t *testing.T
}

func (l slowList) check(ctx context.Context) {
	l.t.Helper()
	if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
		l.t.Errorf("a call has deadline %t, error %v", ok, ctx.Err())
	}
}

func (l slowList) End(ctx context.Context, id core.ID, generation uint64, until time.Time) (bool, error) {
	l.check(ctx)
	return l.Revocations.End(ctx, id, generation, until)
}

func (l slowList) Ended(ctx context.Context, id core.ID) (uint64, error) {
	l.check(ctx)
	return l.Revocations.Ended(ctx, id)
}

// Fails if New takes every Store for core.NonBlocking: a client that hangs up
// must not skip a logout, and a list that hangs must not hold the request for
// ever (security H17).
func TestCallsOfASlowListAreBounded(t *testing.T) {
	memory := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})
	m := core.MustNew(core.Config{
		Store:   cookiestore.New(cookiestore.Config{Revocations: slowList{memory, t}}),
		Secrets: []core.Secret{core.GenerateSecret()},
	})
	var cookie string
	for i, handle := range []func(*core.Session){
		func(s *core.Session) { s.Set("k", "v") },
		func(s *core.Session) { s.Login("user-42") },
		func(s *core.Session) { s.Destroy() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the client hung up
		r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		r.Header.Set("Cookie", cookie)
		rec := httptest.NewRecorder()
		m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) { handle(core.Get(r.Context())) })
		line := rec.Result().Header.Get("Set-Cookie")
		if rec.Code != http.StatusOK || line == "" {
			t.Fatalf("step %d: %d, %q", i, rec.Code, line)
		}
		cookie, _, _ = strings.Cut(line, ";")
	}
	if memory.Len() != 1 {
		t.Errorf("%d sessions were ended", memory.Len())
	}
	if !cookiestore.New(cookiestore.Config{}).NonBlocking() || !cookiestore.New(cookiestore.Config{Revocations: memory}).NonBlocking() {
		t.Error("a store that never waits says that it does")
	}
}
