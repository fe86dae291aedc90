package engines

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

var historyTime = flag.Duration("history", 4*time.Second, "how long TestHistory records, on each engine")

// TestHistory records what clients of two processes see of sessions that they
// share, while the engine or a process is killed, or the engine is paused,
// or its connections are cut, or another takes over, and checks that each session behaved as if one
// operation had come after another: no acknowledged write is lost, no session
// comes back, no value is taken twice. Each fault happens at least once.
//
// PostgreSQL and MariaDB acknowledge a commit here when the operating system
// has it, Redis a write when the disk has it; see package servers. For longer
// runs: go test -run History -history 10m
func TestHistory(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			spec := e.spec(t)
			h := &history{apps: []*app{ownProcess(t, spec), ownProcess(t, spec)}}
			h.faults = append(h.faults, fault{"a process killed", func() error { h.apps[0].kill(); return nil }, h.apps[0].start})
			if e.server != nil && e.server(t).Owned() {
				server := e.server(t)
				server.NeedFaults(t)
				for _, o := range outages {
					h.faults = append(h.faults, fault{"the engine " + o.name,
						func() error { o.begin(server, t); return nil },
						func() error { o.end(server, t); return nil }})
				}
				h.faults = append(h.faults, fault{"the connections cut", func() error { server.Cut(t); return nil }, func() error { return nil }})
			}
			if e.faults != nil {
				h.faults = append(h.faults, e.faults(t)...)
			}
			if result := h.record(t, *historyTime); result != porcupine.Ok {
				t.Errorf("the history is %v", result)
				h.show(t)
			}
		})
	}
}

// The checker itself: it finds each of these stores out.
func TestHistoryFinds(t *testing.T) {
	for name, broken := range map[string]func(core.Store) core.Store{
		"a lost update":        func(s core.Store) core.Store { return blindUpdates{s} },
		"a session that rises": func(s core.Store) core.Store { return upserts{s} },
		"a stale read":         func(s core.Store) core.Store { return &staleReads{Store: s} },
	} {
		t.Run(name, func(t *testing.T) {
			spec := newSpec("", "", "")
			store := broken(memorystore.New(memorystore.Config{}))
			h := &history{}
			for range 2 {
				handler, err := newAppOn(store, spec)
				if err != nil {
					t.Fatal(err)
				}
				h.apps = append(h.apps, inProcess(t, handler, spec))
			}
			if result := h.record(t, time.Minute); result != porcupine.Illegal {
				t.Errorf("the history of a broken store is %v", result)
			}
		})
	}
}

// The broken stores hide the optional powers, so that the core's own way to
// end an emptied session is taken.

// blindUpdates does not look at the version.
type blindUpdates struct{ core.Store }

func (s blindUpdates) Update(ctx context.Context, rec core.Record) error {
	for {
		old, err := s.Load(ctx, rec.ID)
		if err != nil {
			return err
		}
		rec.Version = old.Version + 1
		if err := s.Store.Update(ctx, rec); !errors.Is(err, core.ErrConflict) {
			return err
		}
	}
}

// upserts creates what is not there.
type upserts struct{ core.Store }

func (s upserts) Update(ctx context.Context, rec core.Record) error {
	err := s.Store.Update(ctx, rec)
	if errors.Is(err, core.ErrNotFound) {
		return s.Create(ctx, rec)
	}
	return err
}

// staleReads now and then serves a record as it was, like a replica that lags.
type staleReads struct {
	core.Store
	cache sync.Map
	n     atomic.Int64
}

func (s *staleReads) Load(ctx context.Context, id core.ID) (core.Record, error) {
	if old, ok := s.cache.Load(id); ok && s.n.Add(1)%5 == 0 {
		return old.(core.Record), nil
	}
	rec, err := s.Store.Load(ctx, id)
	if err == nil {
		s.cache.Store(id, rec)
	}
	return rec, err
}

// fault is something that goes wrong for a while.
type fault struct {
	name       string
	begin, end func() error
}

// history runs rounds: in each, clients share one session, through all
// applications.
type history struct {
	apps   []*app
	faults []fault
	begun  time.Time
	done   atomic.Int64  // operations
	ticks  chan struct{} // one for each operation, unless nobody listens

	// The last round, and what the checker says of it.
	ops     []porcupine.Operation
	verdict porcupine.LinearizationInfo
}

const (
	clients    = 6  // of a round
	operations = 8  // of a client
	between    = 80 // operations from one fault to the next
	during     = 8  // operations of a fault
)

// request is the input of an operation, answer its output.
type request struct {
	op, arg string
	cookie  string // the token that the client held
	session string // the ID
}

func (h *history) now() int64 { return int64(time.Since(h.begun)) }

// record runs rounds for a while, each checked when it ends, until one is wrong.
// It is Unknown if most could not be checked in time.
func (h *history) record(t *testing.T, d time.Duration) porcupine.CheckResult {
	h.begun = time.Now()
	h.ticks = make(chan struct{}, 1)
	stop := make(chan struct{})
	var chaos sync.WaitGroup
	var injected atomic.Int64
	chaos.Go(func() { h.chaos(t, stop, &injected) })
	rounds, undecided, unknown, result := 0, 0, 0, porcupine.Ok
	for result != porcupine.Illegal && (time.Since(h.begun) < d || int(injected.Load()) < len(h.faults)) {
		h.ops = h.round(t)
		rounds++
		for _, op := range h.ops {
			if op.Output.(answer).unknown() {
				unknown++
			}
		}
		if result, h.verdict = porcupine.CheckOperationsVerbose(session, h.ops, 10*time.Second); result == porcupine.Unknown {
			undecided++
		}
	}
	close(stop)
	chaos.Wait()
	t.Logf("%d rounds, %d of them undecided, %d operations, %d of them with an unknown outcome, %d faults",
		rounds, undecided, h.done.Load(), unknown, injected.Load())
	switch {
	case result == porcupine.Illegal:
	case undecided > rounds/2:
		result = porcupine.Unknown
	default:
		result = porcupine.Ok
	}
	return result
}

// show logs the last round and makes a picture of it.
func (h *history) show(t *testing.T) {
	for _, op := range h.ops {
		t.Logf("%9d to %9d us, client %d: %s", op.Call/1e3, op.Return/1e3, op.ClientId, describe(op.Input, op.Output))
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("history-%d.html", time.Now().UnixNano()))
	t.Logf("a picture of it: %s, %v", file, porcupine.VisualizePath(session, h.verdict, file))
}

// chaos injects one fault after another and counts them.
func (h *history) chaos(t *testing.T, stop <-chan struct{}, injected *atomic.Int64) {
	wait := func(ticks int) bool {
		for range ticks {
			select {
			case <-h.ticks:
			case <-stop:
				return false
			}
		}
		return true
	}
	for n := 0; len(h.faults) > 0 && wait(between); n++ {
		f := h.faults[n%len(h.faults)]
		if err := f.begin(); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		wait(during)
		if err := f.end(); err != nil {
			t.Errorf("%s, and back: %v", f.name, err)
		}
		injected.Add(1)
	}
}

// call performs an operation and lets chaos know.
func (h *history) call(a *app, r request) answer {
	got := a.call(r.op, r.arg, r.cookie)
	h.done.Add(1)
	select {
	case h.ticks <- struct{}{}:
	default:
	}
	return got
}

// insist repeats an operation that has no effect of interest until it is
// answered.
func (h *history) insist(t *testing.T, a *app, r request) (got answer, call int64) {
	for deadline := time.Now().Add(time.Minute); ; {
		call = h.now()
		if got = h.call(a, r); !got.unknown() {
			return got, call
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer to %s for a minute: %+v", r.op, got)
		}
		time.Sleep(5 * time.Millisecond) // spares the processor; nothing depends on it
	}
}

// round lets clients loose on a new session and returns what they did.
func (h *history) round(t *testing.T) []porcupine.Operation {
	begun, _ := h.insist(t, h.apps[0], request{op: "begin"})
	if begun.status != http.StatusOK {
		t.Fatalf("begin: %+v", begun)
	}
	var token atomic.Pointer[string] // the last that any client was given
	token.Store(&begun.cookie)
	var mu sync.Mutex
	var ops []porcupine.Operation
	add := func(client int, in request, call int64, out answer, end int64) {
		mu.Lock()
		defer mu.Unlock()
		ops = append(ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
	}
	// The first operation tells the model the token.
	add(0, request{op: "begin", session: begun.id}, -1, begun, -1)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			a, cookie := h.apps[c%len(h.apps)], begun.cookie
			for i := range operations {
				if rand.IntN(10) < 8 {
					cookie = *token.Load()
				}
				in := request{op: choose(), arg: fmt.Sprintf("c%d-%d", c, i), cookie: cookie, session: begun.id}
				call := h.now()
				out := h.call(a, in)
				if out.unknown() {
					// It may take effect at any time from now on.
					add(c, in, call, out, 1<<62)
					return
				}
				add(c, in, call, out, h.now())
				if out.status == http.StatusOK && out.id == begun.id && out.cookie != "" && !out.clears {
					cookie = out.cookie
					token.Store(&out.cookie)
				}
			}
		})
	}
	wg.Wait()
	for c, a := range h.apps {
		in := request{op: "get", cookie: *token.Load(), session: begun.id}
		out, call := h.insist(t, a, in)
		add(clients+c, in, call, out, h.now())
	}
	return ops
}

// choose picks an operation.
func choose() string {
	for n := rand.IntN(100); ; {
		for _, o := range []struct {
			op     string
			weight int
		}{{"incr", 32}, {"get", 18}, {"put", 14}, {"give", 12}, {"pop", 12}, {"regenerate", 7}, {"login", 3}, {"logout", 2}} {
			if n -= o.weight; n < 0 {
				return o.op
			}
		}
	}
}

// state is a session as the model knows it.
type state struct {
	alive      bool
	token      string // the only one that opens it
	counter    int
	note, item string
}

// session is the model: what one session would do if one operation came after
// another.
var session = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) {
		ok, next := step(s.(state), in.(request), out.(answer))
		return ok, next
	},
	DescribeOperation: describe,
	DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
}

func step(s state, in request, out answer) (bool, state) {
	open := s.alive && in.cookie == s.token
	switch {
	case in.op == "begin":
		return true, state{alive: true, token: out.cookie}
	case out.unknown():
		// With its effect, if it can have one. Without, it comes last.
		if in.op == "logout" {
			open = s.alive
		}
		if open {
			return true, effect(s, in, cmp.Or(out.cookie, "lost "+in.arg))
		}
		return true, s
	case out.status == http.StatusUnauthorized:
		return !open, s
	case out.status == http.StatusConflict && in.op == "pop":
		return true, s // another took it, or the session is gone
	case out.status == http.StatusConflict && out.text == core.ErrGone.Error():
		return !open, s
	case out.status == http.StatusConflict:
		return true, s // it gave up
	case out.status != http.StatusOK:
		return false, s
	case in.op == "logout":
		// It ends the session even if the token was replaced since it was
		// accepted. Whoever comes second did nothing.
		s.alive = false
		return true, s
	case in.op == "login" && out.id != in.session:
		return !open, s // a new session in place of one that is gone
	case !open || out.id != in.session:
		return false, s
	}
	next := effect(s, in, out.cookie)
	switch in.op {
	case "get":
		return out.value == fmt.Sprintf("%d,%s,%s", s.counter, s.note, s.item), s
	case "incr":
		return out.value == fmt.Sprint(next.counter), next
	case "pop":
		return out.value == s.item, next
	}
	return true, next
}

// effect is what an operation does to a session that it opens.
func effect(s state, in request, token string) state {
	switch in.op {
	case "incr":
		s.counter++
	case "put":
		s.note = in.arg
	case "give":
		s.item = in.arg
	case "pop":
		s.item = ""
	case "regenerate", "login":
		s.token = token
	case "logout":
		s.alive = false
	}
	return s
}

func describe(in, out any) string {
	r, a := in.(request), out.(answer)
	short := func(token string) string { return token[max(0, len(token)-6):] }
	return fmt.Sprintf("%s(%s) with %s: %d %q %s %s", r.op, r.arg, short(r.cookie), a.status, a.value, short(a.cookie), a.text)
}
