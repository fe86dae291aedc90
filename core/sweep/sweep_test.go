package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// store counts its sweeps, which take some time, and can fail them.
type store struct {
	*memorystore.Store

	mu     sync.Mutex
	sweeps []time.Time
	takes  time.Duration
	err    error
	ended  error // of the context, when a sweep was over
}

// will has sweeps take some time, and then fail with err.
func (s *store) will(takes time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.err = takes, err
}

// swept returns when there were sweeps.
func (s *store) swept() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sweeps)
}

func (s *store) Sweep(ctx context.Context, from, to time.Time) (int, error) {
	s.mu.Lock()
	s.sweeps = append(s.sweeps, time.Now())
	takes, err := s.takes, s.err
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended = ctx.Err(); s.ended != nil {
		return 0, s.ended
	}
	if err != nil {
		return 0, err
	}
	return s.Store.Sweep(ctx, from, to)
}

// newManager returns a manager whose store does not sweep by itself.
func newManager(t *testing.T) (*core.Manager, *store) {
	s := &store{Store: memorystore.New(memorystore.Config{SweepInterval: 1000 * time.Hour})}
	t.Cleanup(func() { s.Close() })
	return core.MustNew(core.Config{Store: s}), s
}

// output is what is logged.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// took returns what was logged since the last time it was asked.
func (o *output) took() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.buf.Reset()
	return o.buf.String()
}

// logged returns what is logged from here on.
func logged(t *testing.T) *output {
	var out output
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &out
}

// begin stores a session.
func begin(m *core.Manager) {
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { core.Get(r.Context()).Set("k", 1) }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

func count(t *testing.T, m *core.Manager) int {
	n, err := m.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Feature P10. Fails if Sometimes sweeps before the handler, always, or never.
func TestSometimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t)
		serve := func(mw func(http.Handler) http.Handler, want int) {
			t.Helper()
			h := mw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n := count(t, m); n != 1 {
					t.Errorf("%d records when the handler runs, want 1", n)
				}
				io.WriteString(w, "ok")
			}))
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			if rec.Body.String() != "ok" {
				t.Errorf("the answer is %q", rec.Body)
			}
			if n := count(t, m); n != want {
				t.Errorf("%d records after the request, want %d", n, want)
			}
		}
		dice := func(throw float64) func() float64 { return func() float64 { return throw } }
		for range 2 {
			begin(m)
			time.Sleep(time.Hour)
			for range 100 {
				serve(Sometimes(m, 0), 1)
			}
			serve(sometimes(m, 0, dice(0)), 1)
			serve(sometimes(m, 0.25, dice(0.25)), 1)
			serve(sometimes(m, 0.25, dice(0.2499)), 0)
			begin(m)
			time.Sleep(time.Hour)
			serve(Sometimes(m, 1), 0)
			begin(m)
			serve(Sometimes(m, 1), 1) // it is live
			time.Sleep(time.Hour)
			m.Sweep(t.Context())
		}
	})
}

// Fails if a client that hung up ends the sweep, if a sweep that hangs holds a
// request for good, or if a panic of the handler is swallowed or swept after.
func TestSometimesOnABadDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newManager(t)
		log := logged(t)
		ok := Sometimes(m, 1)(http.NotFoundHandler())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		if ok.ServeHTTP(httptest.NewRecorder(), r); s.ended != nil {
			t.Errorf("the sweep of a client that hung up: %v", s.ended)
		}
		s.will(time.Hour, nil)
		begun := time.Now()
		if ok.ServeHTTP(httptest.NewRecorder(), r); time.Since(begun) != patience {
			t.Errorf("the request waited for %v, want %v", time.Since(begun), patience)
		}
		if got := log.took(); strings.Count(got, "sweep failed") != 1 {
			t.Errorf("log: %s", got)
		}
		s.will(0, errors.New("connection refused"))
		rec := httptest.NewRecorder()
		ok.ServeHTTP(rec, r)
		if got := log.took(); rec.Code != 404 || !strings.Contains(got, "connection refused") {
			t.Errorf("status %d, log: %s", rec.Code, got)
		}
		before := len(s.swept())
		func() {
			defer func() {
				if got := recover(); got != "a panic" {
					t.Errorf("recovered %v", got)
				}
			}()
			Sometimes(m, 1)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a panic") })).
				ServeHTTP(httptest.NewRecorder(), r)
		}()
		if len(s.swept()) != before {
			t.Error("swept after a panic")
		}
	})
}

// Feature W32. Fails without the jitter, if a failure ends it, if a sweep may
// take for ever, or if it outlives its context.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Hour
		m, s := newManager(t)
		log := logged(t)
		s.will(0, errors.New("connection refused"))
		begin(m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		begun := time.Now()
		go func() {
			defer close(done)
			Every(ctx, m, interval)
		}()
		time.Sleep(2 * interval)
		synctest.Wait()
		if got := log.took(); !strings.Contains(got, "connection refused") {
			t.Errorf("a failure is not logged: %s", got)
		}
		s.will(0, nil)
		time.Sleep(98 * interval)
		synctest.Wait()
		if n := count(t, m); n != 0 {
			t.Errorf("%d records left", n)
		}
		shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
		for _, at := range s.swept() {
			shortest, longest = min(shortest, at.Sub(begun)), max(longest, at.Sub(begun))
			begun = at
		}
		if shortest < interval/2 || shortest > interval*3/4 || longest < interval*5/4 || longest > interval*3/2 {
			t.Errorf("pauses of %v to %v, want half an interval to one and a half", shortest, longest)
		}
		s.will(10*interval, nil)
		time.Sleep(5 * interval)
		synctest.Wait()
		if got := log.took(); !strings.Contains(got, context.DeadlineExceeded.Error()) {
			t.Errorf("a sweep that hangs is not cut off: %s", got)
		}
		for n := len(s.swept()); len(s.swept()) == n; { // to the middle of one
			time.Sleep(time.Minute)
		}
		log.took()
		cancel()
		<-done
		if got := log.took(); got != "" {
			t.Errorf("the end is logged as a failure: %s", got)
		}
		n := len(s.swept())
		time.Sleep(10 * interval)
		if len(s.swept()) != n {
			t.Error("it sweeps after its context has ended")
		}
	})
}

// Fails if a value that can only be a mistake is accepted.
func TestPanics(t *testing.T) {
	m, _ := newManager(t)
	for what, fn := range map[string]func(){
		"-0.1": func() { Sometimes(m, -0.1) },
		"1.1":  func() { Sometimes(m, 1.1) },
		"NaN":  func() { Sometimes(m, math.NaN()) },
		"0s":   func() { Every(t.Context(), m, 0) },
		"-1s":  func() { Every(t.Context(), m, -time.Second) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, what) {
					t.Errorf("%s: panic %q, want one that names it", what, got)
				}
			}()
			fn()
		}()
	}
}
