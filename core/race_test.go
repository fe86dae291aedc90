package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
)

// slow runs h in a request that stops after its first access to the session,
// until proceed is called; proceed returns the answer.
func (w *world) slow(cookie string, h func(s *core.Session)) (proceed func() *httptest.ResponseRecorder) {
	loaded, goOn, done := make(chan struct{}), make(chan struct{}), make(chan *httptest.ResponseRecorder)
	go func() {
		done <- w.send(cookie, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			s.User()
			close(loaded)
			<-goOn
			h(s)
			io.WriteString(rw, "success")
		})
	}()
	<-loaded
	return func() *httptest.ResponseRecorder { close(goOn); return <-done }
}

// Promise 3. Fails if reload() keeps the changes computed on the old record
// instead of replaying the operations.
func TestDifferentKeysBothPersist(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("start", 1); s.Set("gone", 1) })
	a := w.slow(c.cookie, func(s *core.Session) { s.Set("a", 1); s.Delete("gone") })
	b := w.slow(c.cookie, func(s *core.Session) { s.Set("b", 2) })
	w.events()
	mustStatus(t, b(), 200)
	mustStatus(t, a(), 200)
	mustBe(t, "events", w.events(), "saved, conflict, merged")
	c.use(func(s *core.Session) { mustBe(t, "keys", fmt.Sprint(s.Keys()), "[a b start]") })
}

// Promise 3. What came to no change is over with the Save that found so: a later
// one must not do it again to what another request has stored since. Fails if
// the operations are kept.
func TestNoChangeIsNotReplayed(t *testing.T) {
	on := core.NewKey[bool]("on")
	for name, nothing := range map[string]func(s *core.Session){
		"update":         func(s *core.Session) { on.Update(s, func(bool) bool { return false }) },
		"set and delete": func(s *core.Session) { on.Set(s, true); on.Delete(s) },
		"limit":          func(s *core.Session) { s.SetIdleTimeout(s.IdleTimeout()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			c.use(func(s *core.Session) {
				s.Set("k", 0)
				if name == "update" {
					on.Set(s, false)
				}
			})
			c.use(func(s *core.Session) {
				nothing(s)
				mustBe(t, "Save", s.Save(t.Context()), nil)
				other := *c
				mustStatus(t, other.use(func(s *core.Session) { on.Set(s, true); s.SetIdleTimeout(time.Hour) }), 200)
				s.Set("k", 1)
			})
			c.use(func(s *core.Session) {
				mustBe(t, "value", on.GetOr(s, false), true)
				mustBe(t, "limit", s.IdleTimeout(), time.Hour)
				mustBe[any](t, "own value", must(s.Get("k")), int64(1))
			})
		})
	}
}

// Fails if reload() leaves the values handed out before in force: what the
// other request stored would be overwritten from a stale copy.
func TestGetAfterAMergeSeesTheOthersChange(t *testing.T) {
	list := core.NewKey[[]string]("list")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { list.Set(s, []string{"a"}) })
	c.use(func(s *core.Session) {
		mine, _ := list.Get(s)
		c.use(func(s *core.Session) { list.Set(s, []string{"b"}) })
		s.Set("other", 1)
		if err := s.Save(context.Background()); err != nil {
			t.Fatal(err)
		}
		merged, _ := list.Get(s)
		mustBe(t, "list after the merge", fmt.Sprint(merged), "[b]")
		mine[0] = "changed late" // still a change of this request
	})
	mustBe(t, "list", fmt.Sprint(c.get("list")), "[changed late]")
}

// Promise 3. Fails if opUpdate replays its first result instead of its function.
func TestCounterIsExact(t *testing.T) {
	n := core.NewKey[int]("n")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("start", 1) })
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			rec := w.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
				n.Update(s, func(n int) int { return n + 1 })
			})
			if rec.Code != 200 {
				t.Errorf("status %d", rec.Code)
			}
		})
	}
	wg.Wait()
	mustBe(t, "count", c.get("n"), any(int64(100)))
}

// Feature W51: requests share no value, though the store may keep one copy of
// the record for all. Fails if a value is decoded without a copy.
func TestParallelRequestsShareNoValue(t *testing.T) {
	list, blob := core.NewKey[[]int]("list"), core.NewKey[[]byte]("blob")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		list.Set(s, []int{1, 2})
		blob.Set(s, []byte("blob"))
		s.Set("any", []byte("blob"))
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w.send(c.cookie, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
				l, _ := list.Get(s)
				l[0]++
				b, _ := blob.Get(s)
				b[0]++
				v, _ := s.Get("any")
				v.([]byte)[0]++
				rw.WriteHeader(500) // so that nothing of it may last
			})
		})
	}
	wg.Wait()
	c.use(func(s *core.Session) {
		l, _ := list.Get(s)
		b, _ := blob.Get(s)
		v, _ := s.Get("any")
		mustBe(t, "values", fmt.Sprintf("%v %s %s", l, b, v), "[1 2] blob blob")
	})
}

// Fails if opPop does not compare what it pops with what is there.
func TestPopIsAtomic(t *testing.T) {
	flash := core.NewKey[string]("flash")
	w := newWorld(t)
	c := w.client()
	for _, meanwhile := range []string{"", "another value"} {
		c.use(func(s *core.Session) { flash.Set(s, "value"); s.Set("stay", 1) })
		var late []func() *httptest.ResponseRecorder
		for range 20 {
			late = append(late, w.slow(c.cookie, func(s *core.Session) {
				if v, ok := flash.Pop(s); !ok || v != "value" {
					t.Errorf("popped %q, %v", v, ok)
				}
			}))
		}
		if meanwhile != "" {
			mustStatus(t, late[0](), 200)
			late = late[1:]
			c.use(func(s *core.Session) { flash.Set(s, meanwhile) })
		}
		taken := 0
		for _, proceed := range late {
			switch rec := proceed(); rec.Code {
			case 200:
				taken++
			case 409:
				noCookie(t, rec)
			default:
				t.Errorf("status %d", rec.Code)
			}
		}
		if meanwhile == "" {
			mustBe(t, "requests that took the value", taken, 1)
			if got := w.events(); strings.Count(got, "gone") != 19 || strings.Contains(got, "failed") {
				t.Errorf("events %s", got)
			}
			mustBe(t, "value", c.get("flash"), nil)
		} else {
			mustBe(t, "requests that took a value twice", taken, 0)
			mustBe(t, "value", c.get("flash"), any(meanwhile))
		}
	}
}

// Promise 4. Fails if reload() does not look at the proof.
func TestLoginWinsOverASlowRequest(t *testing.T) {
	for name, change := range map[string]func(s *core.Session){
		"write":      func(s *core.Session) { s.Set("k", "planted") },
		"regenerate": func(s *core.Session) { s.Regenerate() },
		"persist":    func(s *core.Session) { s.Persist(time.Hour) },
		"pop":        func(s *core.Session) { s.Pop("flash") },
		"idle":       func(s *core.Session) { s.SetIdleTimeout(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			c.use(func(s *core.Session) { s.Set("flash", 1); s.Set("k", "v") })
			old := c.cookie
			late := w.slow(old, change)
			mustStatus(t, c.use(func(s *core.Session) { s.Login("alice") }), 200)
			rec := late()
			mustStatus(t, rec, 409)
			noCookie(t, rec)
			mustBe(t, "user", c.user(), "alice")
			mustBe(t, "value", c.get("k"), any("v"))
			mustBe(t, "flash", c.get("flash"), any(int64(1)))
			w.events()
			w.send(old, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { mustBe(t, "old token", s.User(), "") })
			mustBe(t, "events", w.events(), "rejected(rotated)")
		})
	}
}

// Promise 4. Fails if a lost update creates the record again (an upsert).
func TestLogoutWinsOverASlowRequest(t *testing.T) {
	for name, change := range map[string]func(s *core.Session){
		"write": func(s *core.Session) { s.Set("k", "zombie") },
		"read":  func(s *core.Session) { s.Get("k") },
		"empty": func(s *core.Session) { s.Clear() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			c.use(func(s *core.Session) { s.Login("alice"); s.Set("k", "v") })
			old := c.cookie
			w.clock.Advance(5 * time.Minute) // so that the reader has an access time to store
			late := w.slow(old, change)
			c.use(func(s *core.Session) { s.Destroy() })
			rec := late()
			if name == "read" {
				mustStatus(t, rec, 200)
			} else {
				mustStatus(t, rec, 409)
			}
			noCookie(t, rec)
			mustBe(t, "records", w.count(), 0)
			w.send(old, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { mustBe(t, "old token", s.User(), "") })
		})
	}
}

// Changes that are refused are told of once, however often they are tried; those
// of the session that follows are another matter.
func TestGoneIsReportedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	c.do(func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		s.Set("k", "w")
		other := *c
		other.use(func(s *core.Session) { s.Destroy() })
		w.events()
		for range 3 {
			mustBe(t, "Save", errors.Is(s.Save(r.Context()), core.ErrGone), true)
		}
	})
	mustBe(t, "events", w.events(), "gone")

	s := w.m.New(t.Context())
	for range 2 {
		s.Set("k", "v")
		mustBe(t, "Save", s.Save(t.Context()), nil)
		w.m.Revoke(t.Context(), s.ID())
		w.events()
		s.Set("k", "w")
		for range 2 {
			mustBe(t, "Save", errors.Is(s.Save(t.Context()), core.ErrGone), true)
		}
		mustBe(t, "events", w.events(), "gone")
		s.Destroy()
	}
}

func TestDoubleLogin(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("cart", 1) })
	first := w.slow(c.cookie, func(s *core.Session) { s.Set("by", 1); s.Login("alice") })
	second := w.slow(c.cookie, func(s *core.Session) { s.Pop("cart"); s.Set("by", 2); s.Login("alice") })
	for by, proceed := range []func() *httptest.ResponseRecorder{first, second} {
		rec := proceed()
		mustStatus(t, rec, 200)
		line, ok := sessionCookie(rec)
		if !ok {
			t.Fatal("a login without a cookie")
		}
		d := w.client()
		d.cookie = line[:len(line)-len(line[indexByte(line, ';'):])]
		mustBe(t, "user", d.user(), "alice")
		mustBe(t, "own value", d.get("by"), any(int64(by+1)))
		mustBe(t, "value from before", d.get("cart"), []any{int64(1), nil}[by])
	}
	mustBe(t, "records", w.count(), 2)
}

func indexByte(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return len(s)
}

// Promise 4. Fails if Destroy compares versions or proofs.
func TestSlowLogoutEndsWhatWasRenewed(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	late := w.slow(c.cookie, func(s *core.Session) {
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
	})
	c.use(func(s *core.Session) { s.Regenerate() })
	mustStatus(t, late(), 200)
	mustBe(t, "records", w.count(), 0)
	mustBe(t, "user", c.user(), "")
}

// Promise 4. Fails if Destroy clears the cookie whether or not it ended the
// session: the browser holds the cookie of a later login by now.
func TestSlowLogoutSparesALaterLogin(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	late := w.slow(c.cookie, func(s *core.Session) { s.Destroy() })
	c.use(func(s *core.Session) { s.Destroy() })
	c.use(func(s *core.Session) { s.Login("alice") })
	noCookie(t, late())
	mustBe(t, "user", c.user(), "alice")
}

// Fails if removeEmpty deletes without comparing versions.
func TestEmptyingDoesNotLoseAnotherValue(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("a", 1) })
	empty := w.slow(c.cookie, func(s *core.Session) { s.Delete("a") })
	c.use(func(s *core.Session) { s.Set("b", 1) })
	rec := empty()
	mustStatus(t, rec, 200)
	noCookie(t, rec)
	c.use(func(s *core.Session) { mustBe(t, "keys", fmt.Sprint(s.Keys()), "[b]") })
}

func TestManyTriesEnd(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("a", 1) })
	w.store.took()
	w.store.interfere(func(verb string) error {
		if verb == "update" {
			return core.ErrConflict
		}
		return nil
	})
	w.events()
	mustStatus(t, c.use(func(s *core.Session) { s.Set("a", 2) }), 409)
	if got := w.events(); !strings.HasSuffix(got, "conflict, commit failed") {
		t.Errorf("events %s", got)
	}
	w.store.interfere(nil)
	mustBe(t, "value", c.get("a"), any(int64(1)))
}

// occupied is a store in which the first IDs that are tried are taken.
type occupied struct {
	core.Store
	by    int
	tried []core.ID
}

func (o *occupied) Unwrap() core.Store { return o.Store }

func (o *occupied) Create(ctx context.Context, rec core.Record) error {
	if o.tried = append(o.tried, rec.ID); len(o.tried) <= o.by {
		return core.ErrExists
	}
	return o.Store.Create(ctx, rec)
}

// Feature Q21. Fails if an ID that is taken is tried again, or used.
func TestIDCollision(t *testing.T) {
	var store *occupied
	w := newWorld(t, func(c *core.Config) {
		store = &occupied{Store: c.Store, by: 2}
		c.Store = store
	})
	c := w.client()
	mustStatus(t, c.use(func(s *core.Session) { s.Set("a", 1) }), 200)
	mustBe(t, "creates", len(store.tried), 3)
	first, second, third := store.tried[0], store.tried[1], store.tried[2]
	if first == second || second == third || first == third {
		t.Errorf("tried %v", store.tried)
	}
	c.use(func(s *core.Session) {
		mustBe(t, "ID", s.ID(), third)
		v, _ := s.Get("a")
		mustBe(t, "value", v, any(int64(1)))
	})
	store.tried, store.by = nil, 1000
	mustStatus(t, w.client().use(func(s *core.Session) { s.Set("a", 1) }), 503)
	mustBe(t, "creates before it gives up", len(store.tried), 8)
}

func TestGoroutinesOfOneRequest(t *testing.T) {
	counter := core.NewKey[int]("n")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				k := fmt.Sprint("race", i)
				s.Set(k, i)
				v, ok := s.Get(k)
				if !ok || v != int64(i) {
					t.Errorf("%s = %v, %v", k, v, ok)
				}
				counter.Update(s, func(n int) int { return n + 1 })
				s.Keys()
				s.Has(k)
				s.Namespace("ns").Set(k, i)
				s.Dirty()
			})
		}
		wg.Wait()
	})
	mustBe(t, "counter", c.get("n"), any(int64(16)))
}

// One goroutine of a request updates, another saves, and so runs the function
// again. Fails under -race if Update looks at its result once the session is
// unlocked.
func TestUpdateWhileAnotherGoroutineSaves(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	c.use(func(s *core.Session) {
		s.User()
		other := *c
		other.use(func(s *core.Session) { s.Set("k", 2) })
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := counter.Update(s, func(n int64) int64 { return n + 1 }); got != 1 {
				t.Errorf("result %d", got)
			}
		})
		for !s.Dirty() { // to wait for the goroutine would put the two in order
			runtime.Gosched()
		}
		mustBe(t, "Save", s.Save(t.Context()), nil)
		wg.Wait()
	})
	mustBe(t, "n", c.get("n"), any(int64(1)))
}

// Nobody's time runs while somebody works: in the bubble it passes only when all
// are waiting.
func TestExclusive(t *testing.T) { synctest.Test(t, testExclusive) }

func testExclusive(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *core.Config) {
		c.Exclusive, c.LockTimeout, c.Logger = true, 50*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Set("n", int64(0)) })
	w.events()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			w.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
				n, _ := s.Get("n")
				s.Set("n", n.(int64)+1) // no Update: the lock makes it exact
			})
		})
	}
	wg.Wait()
	mustBe(t, "count", c.get("n"), any(int64(20)))
	if got := w.events(); got != repeat("saved", 20) {
		t.Errorf("events %s: requests overlapped", got)
	}

	// A wait ends with the limit, or when the client hangs up, which alarms
	// nobody.
	hold := w.slow(c.cookie, func(*core.Session) {})
	for _, tc := range []struct {
		hangUp, wait time.Duration
		alarms       int
	}{{time.Minute, 50 * time.Millisecond, 1}, {10 * time.Millisecond, 10 * time.Millisecond, 0}} {
		ctx, hangUp := context.WithCancel(t.Context())
		defer time.AfterFunc(tc.hangUp, hangUp).Stop()
		r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		r.Header.Set("Cookie", c.cookie)
		begun := time.Now()
		log.Reset()
		mustStatus(t, w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			s.User()
			mustBe(t, "waited", time.Since(begun), tc.wait)
			if !errors.Is(s.Err(), core.ErrLockTimeout) {
				t.Errorf("Err %v", s.Err())
			}
		}), 503)
		mustBe(t, "alarms", strings.Count(log.String(), "level=ERROR"), tc.alarms)
	}
	mustStatus(t, hold(), 200)

	func() {
		defer func() { recover() }()
		w.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.User(); panic("x") })
	}()
	mustStatus(t, c.use(func(s *core.Session) { s.User() }), 200)
}

// Features S10 and P28: Revoke waits for nobody, also in exclusive mode, and
// who holds the session can save no more. Fails if end() takes the lock, or if
// a refused update creates the record again.
func TestRevokeOfASessionInUse(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		w := newWorld(t, func(c *core.Config) { c.Exclusive = exclusive })
		c := w.client()
		id := c.begin()
		holder := w.slow(c.cookie, func(s *core.Session) {
			mustBe(t, "value that the holder reads", s.Has("k"), true)
			s.Set("k", 2)
		})
		done := make(chan string)
		go func() {
			existed, err := w.m.Revoke(t.Context(), id)
			done <- fmt.Sprint(existed, err)
		}()
		select {
		case got := <-done:
			mustBe(t, "Revoke", got, "true <nil>")
		case <-time.After(5 * time.Second):
			t.Fatal("Revoke waits for the request that holds the session")
		}
		w.events()
		rec := holder()
		mustStatus(t, rec, 409)
		noCookie(t, rec)
		mustBe(t, "events", w.events(), "gone")
		mustBe(t, "records", w.count(), 0)
		mustBe(t, "value", c.get("k"), nil)
	}
}

// lockSignal tells when somebody begins to wait for a lock.
type lockSignal struct {
	core.Store
	waits chan struct{}
}

func (l lockSignal) Unwrap() core.Store { return l.Store }
func (l lockSignal) Lock(ctx context.Context, id core.ID) (func(), error) {
	l.waits <- struct{}{}
	return l.Store.(core.Locker).Lock(ctx, id)
}

// Fails if acquire() does not look at the record again: the waiter would work
// on what was there before the holder changed it.
func TestExclusiveWaiterSeesTheHoldersChange(t *testing.T) {
	waits := make(chan struct{}, 10)
	w := newWorld(t, func(c *core.Config) {
		c.Store = lockSignal{c.Store.(*spy).Store, waits}
		c.Exclusive = true
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Set("n", 1) })
	hold := w.slow(c.cookie, func(s *core.Session) { s.Set("n", 2) })
	<-waits
	seen := make(chan any)
	go c.use(func(s *core.Session) { v, _ := s.Get("n"); seen <- v })
	<-waits
	mustStatus(t, hold(), 200)
	mustBe(t, "value the waiter sees", <-seen, any(int64(2)))
}

// forgetful is a store that lends a lock again before it is given back, as one
// does whose lease ended.
type forgetful struct{ core.Store }

func (f forgetful) Unwrap() core.Store { return f.Store }

func (forgetful) Lock(context.Context, core.ID) (func(), error) { return func() {}, nil }

// Feature B9: in exclusive mode who lost the lock cannot overwrite what the next
// one stored, nor the next one what came late. Fails if reload() replays what was
// computed from values that are no longer there.
func TestExclusiveHolderThatLostItsLock(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Exclusive, c.Store = true, forgetful{c.Store} })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("n", 1) })
	count := func(s *core.Session) { n, _ := s.Get("n"); s.Set("n", n.(int64)+1) }
	empty := func(s *core.Session) { s.Clear() }
	for _, change := range []func(s *core.Session){count, empty} {
		before, _ := c.get("n").(int64)
		late := w.slow(c.cookie, change)
		mustStatus(t, c.use(count), 200)
		rec := late()
		mustStatus(t, rec, 409)
		noCookie(t, rec)
		mustBe(t, "count", c.get("n"), any(before+1))
	}

	// What does not depend on the values is merged, as ever: a reader, and what
	// an administrator does to the limits, who takes no lock.
	late := w.slow(c.cookie, func(s *core.Session) { s.SetIdleTimeout(time.Minute) })
	mustStatus(t, c.use(count), 200)
	mustStatus(t, late(), 200)
	var id core.ID
	c.use(func(s *core.Session) { id = s.ID(); mustBe(t, "idle limit", s.IdleTimeout(), time.Minute) })
	late = w.slow(c.cookie, count)
	if err := w.m.SetExpiry(t.Context(), id, w.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	mustStatus(t, late(), 200)
	mustBe(t, "count", c.get("n"), any(int64(5)))
	c.use(func(s *core.Session) { mustBe(t, "limit", s.Deadline(), w.clock.Now().Add(time.Hour)) })
}

// Security H17. Fails if storeContext hands the request's own context on.
func TestHangingUpSkipsNothing(t *testing.T) {
	var problem error
	w := newWorld(t, func(c *core.Config) {
		c.Store = contextCheck{c.Store.(*spy).Store, &problem}
		c.Secrets = []core.Secret{core.GenerateSecret()}
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", c.cookie)
	ctx, hangUp := context.WithCancel(r.Context())
	hangUp()
	w.m.Serve(httptest.NewRecorder(), r.WithContext(ctx), func(_ http.ResponseWriter, r *http.Request) {
		if err := core.Get(r.Context()).Destroy(); err != nil {
			t.Error(err)
		}
	})
	mustBe(t, "problem", problem, nil)
	mustBe(t, "user", c.user(), "")
}

type contextCheck struct {
	core.Store
	problem *error
}

func (s contextCheck) check(ctx context.Context) {
	if _, bounded := ctx.Deadline(); ctx.Err() != nil || !bounded {
		*s.problem = fmt.Errorf("context: err %v, bounded %v", ctx.Err(), bounded)
	}
}
func (s contextCheck) Load(ctx context.Context, id core.ID) (core.Record, error) {
	s.check(ctx)
	return s.Store.Load(ctx, id)
}
func (s contextCheck) Delete(ctx context.Context, id core.ID) (bool, error) {
	s.check(ctx)
	return s.Store.Delete(ctx, id)
}

func repeat(s string, n int) (out string) {
	for i := range n {
		if i > 0 {
			out += ", "
		}
		out += s
	}
	return out
}

func TestSave(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	ctx := context.Background()
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Set("a", 1)
		if err := s.Save(ctx); err != nil {
			t.Error(err)
		}
		mustBe(t, "records after Save", w.count(), 1)
		io.WriteString(rw, "data")
		for i := range 3 {
			s.Set("a", i)
			if err := s.Save(ctx); err != nil {
				t.Error(err)
			}
		}
		w.store.interfere(func(verb string) error { return errors.New("down") })
		s.Set("b", 1)
		if err := s.Save(ctx); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("Save with the store down: %v", err)
		}
		mustBe(t, "Dirty after a failed Save", s.Dirty(), true)
		w.store.interfere(nil)
		if err := s.Save(ctx); err != nil {
			t.Error(err)
		}
		mustBe(t, "Dirty after Save", s.Dirty(), false)
	})
	if _, ok := sessionCookie(rec); !ok {
		t.Error("Save before the first byte sent no cookie")
	}
	mustBe(t, "value", c.get("b"), any(int64(1)))

	// The first Save, too, may fail and be tried again.
	w.client().use(func(s *core.Session) {
		w.store.interfere(func(verb string) error { return errors.New("down") })
		s.Set("a", 1)
		if err := s.Save(ctx); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("first Save with the store down: %v", err)
		}
		mustBe(t, "Dirty after a failed first Save", s.Dirty(), true)
		w.store.interfere(nil)
		if err := s.Save(ctx); err != nil {
			t.Error(err)
		}
		mustBe(t, "records", w.count(), 2)
	})

	// What was saved stays saved, and its cookie is sent, if the handler fails.
	d := w.client()
	d.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Set("a", "saved")
		s.Save(ctx)
		s.Set("a", "dropped")
		rw.WriteHeader(500)
	})
	mustBe(t, "value", d.get("a"), any("saved"))
}

// Fails if Save leaves the access time at that of the load.
func TestSaveKeepsTheSessionAlive(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	c.do(func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		for i := range 10 {
			w.clock.Advance(20 * time.Minute)
			s.Set("i", i)
			if err := s.Save(context.Background()); err != nil {
				t.Fatalf("Save after %d minutes: %v", 20*(i+1), err)
			}
		}
	})
	mustBe(t, "user", c.user(), "u")
}

// Fails if enter() leaves the session locked, or end() skips close().
func TestPanicsOfOthersDoNotBlock(t *testing.T) {
	for _, verb := range []string{"load", "update"} {
		w := newWorld(t, func(c *core.Config) { c.Exclusive = true })
		c := w.client()
		c.use(func(s *core.Session) { s.Set("k", 1) })
		w.store.interfere(func(v string) error {
			if v == verb {
				panic("store")
			}
			return nil
		})
		for _, first := range []func(s *core.Session){
			func(s *core.Session) { s.Get("k"); s.Set("k", 2) },
			func(s *core.Session) { s.Keys(); s.Set("k", 2) },
			func(s *core.Session) { s.User(); s.Set("k", 2) },
		} {
			func() {
				defer func() {
					if r := recover(); r != "store" {
						t.Errorf("%s: recovered %v", verb, r)
					}
				}()
				c.use(first)
			}()
		}
		w.store.interfere(nil)
		mustBe(t, "value", c.get("k"), any(int64(1)))
	}
}

func TestSaveOfAGoneSession(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	rec := w.send(c.cookie, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.User()
		c.use(func(s *core.Session) { s.Destroy() })
		s.Set("k", 1)
		if err := s.Save(context.Background()); !errors.Is(err, core.ErrGone) {
			t.Errorf("Save: %v", err)
		}
		io.WriteString(rw, "success")
	})
	mustStatus(t, rec, 409)
	mustBe(t, "records", w.count(), 0)
}

func TestAdministration(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	var clients []*client
	for i, user := range []string{"alice", "alice", "alice", "bob", ""} {
		w.clock.Advance(time.Second)
		c := w.client()
		c.use(func(s *core.Session) {
			s.Set("i", i)
			if user != "" {
				s.Login(user)
			}
		})
		clients = append(clients, c)
	}
	ids := func(user string) (out []core.ID) {
		infos, err := w.m.UserSessions(ctx, user)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			out = append(out, i.ID)
		}
		return out
	}
	alice := ids("alice")
	mustBe(t, "alice's sessions", len(alice), 3)
	mustBe(t, "nobody's sessions", len(ids("")), 0)
	var current core.ID
	clients[0].use(func(s *core.Session) { current = s.ID() })
	mustBe(t, "latest login first", alice[2], current)

	ok, err := w.m.Exists(ctx, current)
	mustBe(t, "Exists", fmt.Sprint(ok, err), "true <nil>")
	s, err := w.m.Load(ctx, current)
	if err != nil {
		t.Fatal(err)
	}
	s.Set("from", "a worker")
	if err := s.Save(ctx); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "value set outside HTTP", clients[0].get("from"), any("a worker"))

	n, err := w.m.RevokeUser(ctx, "alice", current)
	mustBe(t, "RevokeUser", fmt.Sprint(n, err), "2 <nil>")
	for i, want := range []string{"alice", "", "", "bob", ""} {
		mustBe(t, fmt.Sprint("user of client ", i), clients[i].user(), want)
	}
	// The handle of a session is no credential.
	w.send("__Host-session="+current.String(), func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "user behind an ID", s.User(), "")
	})
	existed, err := w.m.Revoke(ctx, current)
	mustBe(t, "Revoke", fmt.Sprint(existed, err), "true <nil>")
	existed, err = w.m.Revoke(ctx, current)
	mustBe(t, "Revoke again", fmt.Sprint(existed, err), "false <nil>")
	if _, err := w.m.Load(ctx, current); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load of a revoked session: %v", err)
	}
	mustBe(t, "user", clients[0].user(), "")
	total := 0
	for _, err := range w.m.Sessions(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		total++
	}
	mustBe(t, "sessions", total, 2)
	w.clock.Advance(time.Hour)
	swept, err := w.m.Sweep(ctx)
	mustBe(t, "Sweep", fmt.Sprint(swept, err), "2 <nil>")

	w.store.interfere(func(string) error { return errors.New("down") })
	if ok, err := w.m.Exists(ctx, current); ok || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("Exists with the store down: %v, %v", ok, err)
	}
}

// Promise 4, security H17: a logout needs no turn. Fails if Destroy gives up
// where the wait for one is over.
func TestExclusiveLogoutNeedsNoTurn(t *testing.T) {
	synctest.Test(t, testExclusiveLogoutNeedsNoTurn)
}

func testExclusiveLogoutNeedsNoTurn(t *testing.T) {
	for _, first := range []string{"nothing", "the user"} {
		w := newWorld(t, func(c *core.Config) { c.Exclusive, c.LockTimeout = true, time.Millisecond })
		c := w.client()
		c.use(func(s *core.Session) { s.Login("u") })
		cookie := c.cookie
		logout := func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			if first == "the user" {
				s.User()
			}
			if err := s.Destroy(); err != nil {
				t.Errorf("%s asked: %v", first, err)
			}
			s.Set("flash", "logged out")
		}
		holder := w.slow(cookie, func(s *core.Session) { s.Set("k", "late") })
		rec := w.send(cookie, logout)
		mustStatus(t, rec, 200)
		if line, ok := sessionCookie(rec); !ok || strings.Contains(line, cookie) {
			t.Errorf("%s asked: Set-Cookie %q", first, line)
		}
		mustStatus(t, holder(), 409)
		mustBe(t, "user", (&client{w, cookie}).user(), "")

		c.use(func(s *core.Session) { s.Login("u") })
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", c.cookie)
		ctx, hangUp := context.WithCancel(r.Context())
		hangUp()
		w.m.Serve(httptest.NewRecorder(), r.WithContext(ctx), func(rw http.ResponseWriter, r *http.Request) {
			logout(core.Get(r.Context()), rw, r)
		})
		mustBe(t, "user after hanging up", c.user(), "")
	}
}

// Promises 3 and 5: a function of Update that panics when it runs again leaves
// nothing half done: the next Save stores everything or nothing. Fails if reload
// leaves the fresh record, or replay the first of the changes.
func TestUpdateThatPanicsAtTheReplay(t *testing.T) {
	first, count := core.NewKey[string]("first"), core.NewKey[int]("count")
	w := newWorld(t)
	c := w.client()
	for _, login := range []bool{false, true} {
		c.use(func(s *core.Session) { s.Clear(); s.Set("old", true) })
		runs := 0
		slow := w.slow(c.cookie, func(s *core.Session) {
			first.Set(s, "a")
			count.Update(s, func(n int) int {
				if runs++; runs == 2 {
					panic("replay")
				}
				return n + 1
			})
			if login {
				s.Login("bob")
			}
			func() {
				defer func() { mustBe[any](t, "panic", recover(), "replay") }()
				s.Save(t.Context())
			}()
		})
		other := *c
		other.use(func(s *core.Session) {
			count.Set(s, 10)
			if login {
				s.Login("alice")
			}
		})
		want, rec := 11, slow()
		mustStatus(t, rec, 200)
		if line, ok := sessionCookie(rec); ok {
			c.cookie, _, _ = strings.Cut(line, ";")
			want = 1 // of a session of its own
		}
		c.use(func(s *core.Session) {
			mustBe(t, "what came before", first.GetOr(s, ""), "a")
			mustBe(t, "the count", count.GetOr(s, 0), want)
		})
	}
}
