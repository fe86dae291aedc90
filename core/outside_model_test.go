package core_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// twin is a session of Manager.New, what was asked of it since it was last
// saved, and all that there ever was in its place, as a model.
type twin struct {
	*world
	s        *core.Session
	id       core.ID // that s stands for
	token    int     // the one that s knows
	pending  []change
	login    string
	rotate   bool
	records  map[core.ID]*modelled
	tokens   []presented // that clients were handed
	n        int         // no two values are alike
	log      []string
	rng      *rand.Rand
	failures int
}

// modelled is a record.
type modelled struct {
	alive  bool
	token  int
	user   string
	values map[string]int64
}

type presented struct {
	cookie string
	id     core.ID
	token  int
}

// change is an operation on values. It reports false if it cannot be done.
type change func(values map[string]int64) bool

var counter = core.NewKey[int64]("n")

func (w *twin) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *twin) must(what string, got, want any) {
	w.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("%s: got %v, want %v, after:\n%s", what, got, want, strings.Join(w.log, "\n"))
	}
}

func (w *twin) key() string { return []string{"a", "b", "c"}[w.rng.IntN(3)] }

// alter is one change of values, made on a session and told as a change of the
// model; nil if it is none, as the session sees it.
func (w *twin) alter(s *core.Session) change {
	key := w.key()
	w.n++
	n := int64(w.n)
	switch w.rng.IntN(6) {
	case 0, 1:
		w.say("  set %s %d", key, n)
		s.Set(key, n)
		return func(v map[string]int64) bool { v[key] = n; return true }
	case 2:
		w.say("  delete %s", key)
		if !s.Has(key) {
			return nil
		}
		s.Delete(key)
		return func(v map[string]int64) bool { delete(v, key); return true }
	case 3:
		got, ok := s.Pop(key)
		w.say("  pop %s: %v", key, got)
		if !ok {
			return nil
		}
		return func(v map[string]int64) bool {
			now, there := v[key]
			delete(v, key)
			return there && now == got
		}
	case 4:
		w.say("  count")
		counter.Update(s, func(n int64) int64 { return n + 1 })
		return func(v map[string]int64) bool { v["n"]++; return true }
	default:
		if w.rng.IntN(4) > 0 {
			return nil
		}
		w.say("  clear")
		if s.Len() == 0 {
			return nil
		}
		s.Clear()
		return func(v map[string]int64) bool { clear(v); return true }
	}
}

// request is one of a client's, with any token that there ever was.
func (w *twin) request() {
	if len(w.tokens) == 0 {
		return
	}
	p := w.tokens[len(w.tokens)-1]
	if w.rng.IntN(3) == 0 {
		p = w.tokens[w.rng.IntN(len(w.tokens))]
	}
	rec := w.records[p.id]
	open := rec.alive && rec.token == p.token
	what := w.rng.IntN(9)
	w.say("request %d with token %d of %v, open: %v", what, p.token, p.id, open)
	c := &client{w.world, p.cookie}
	handed, status := false, http.StatusOK
	answer := c.use(func(s *core.Session) {
		w.must("the session of a client", s.ID() == p.id, open)
		if !open {
			return
		}
		w.must("its user", s.User(), rec.user)
		w.must("its values", fmt.Sprint(valuesOf(s)), fmt.Sprint(rec.values))
		if w.rng.IntN(4) == 0 {
			w.save() // meanwhile
			if open = rec.alive && rec.token == p.token; !open {
				status = http.StatusConflict
			}
		}
		switch what {
		case 0:
			s.Destroy()
			rec.alive, status = false, http.StatusOK
		case 1, 2:
			if handed = open; what == 2 || !open { // a login would begin a session of its own
				s.Regenerate()
				break
			}
			if s.Login("client"); rec.user == "alice" {
				clear(rec.values)
			}
			rec.user = "client"
		case 3, 4, 5, 6, 7:
			change, next := w.alter(s), maps.Clone(rec.values)
			switch {
			case change == nil:
				status = http.StatusOK
			case !open:
			case change(next):
				rec.values = next
			default:
				status = http.StatusConflict
			}
		default:
			status = http.StatusOK
		}
	})
	w.must("status", answer.Code, status)
	if open && len(rec.values) == 0 && rec.user == "" {
		rec.alive = false
	}
	if handed && rec.alive {
		rec.token = w.hand(c.cookie, p.id)
	}
	w.check()
}

// hand notes a token of a client's, and returns its number.
func (w *twin) hand(cookie string, id core.ID) int {
	i := slices.IndexFunc(w.tokens, func(p presented) bool { return p.cookie == cookie })
	if i < 0 {
		i = len(w.tokens)
		w.tokens = append(w.tokens, presented{cookie, id, i})
	}
	return w.tokens[i].token
}

func valuesOf(s *core.Session) map[string]int64 {
	out := map[string]int64{}
	for k, v := range s.All() {
		out[k] = v.(int64)
	}
	return out
}

// save is a Save of the twin's session, perhaps with a store that fails.
func (w *twin) save() {
	var fault any
	if w.rng.IntN(4) == 0 {
		fault = []any{errors.New("down"), core.ErrFull, "panic"}[w.rng.IntN(3)]
		skip := w.rng.IntN(2)
		w.store.interfere(func(verb string) error {
			if skip--; skip >= 0 || verb == "touch" {
				return nil
			}
			w.failures++
			if err, ok := fault.(error); ok {
				return err
			}
			panic(fault)
		})
	}
	failures, dirty := w.failures, w.s.Dirty()
	err := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%v", r)
			}
		}()
		return w.s.Save(w.t.Context())
	}()
	w.store.interfere(nil)
	w.say("Save with %v, dirty %v: %v", fault, dirty, err)
	if w.failures > failures && err != nil {
		// Nothing has changed, but that a login may have let go of a session
		// that was gone.
		if w.s.ID() != w.id {
			w.must("gone", w.login != "" && !w.stands(), true)
			w.id, w.rotate = core.ID{}, false
		}
		w.check()
		return
	}
	rec := w.records[w.id]
	switch {
	case !dirty:
		w.must("Save of no change", err, nil)
		w.pending = nil
	case rec == nil || w.login != "" && !w.stands():
		w.must("Save of a new session", err, nil)
		values := map[string]int64{}
		for _, change := range w.pending {
			before := maps.Clone(values)
			if !change(values) {
				values = before
			}
		}
		w.id = w.s.ID()
		w.records[w.id] = &modelled{alive: true, user: w.login, values: values, token: -1}
		w.settle()
	case !w.stands():
		w.must("Save of what is gone", errors.Is(err, core.ErrGone), true)
		return
	default:
		next := maps.Clone(rec.values)
		for _, change := range w.pending {
			if !change(next) {
				w.must("Save of what another took", errors.Is(err, core.ErrGone), true)
				return
			}
		}
		w.must("Save", err, nil)
		rec.values = next
		if w.login != "" {
			rec.user = w.login
		}
		if w.login != "" || w.rotate {
			rec.token = -1
		}
		if len(next) == 0 && rec.user == "" {
			rec.alive, w.id = false, core.ID{}
		}
		w.settle()
	}
	w.check()
}

// stands reports whether the session is what the twin thinks it is.
func (w *twin) stands() bool {
	rec := w.records[w.id]
	return rec != nil && rec.alive && rec.token == w.token
}

func (w *twin) settle() {
	w.pending, w.login, w.rotate = nil, "", false
	rec := w.records[w.id]
	if rec == nil {
		return
	}
	cookie := w.s.Cookie()
	if cookie == nil {
		w.t.Fatalf("no cookie of what is stored, after:\n%s", strings.Join(w.log, "\n"))
	}
	if rec.token < 0 {
		rec.token = w.hand(cookie.Name+"="+cookie.Value, w.id)
		w.token = rec.token
	}
}

// check holds the store against the model.
func (w *twin) check() {
	w.must("ID", w.s.ID(), w.id)
	live := 0
	for id, rec := range w.records {
		if rec.alive {
			live++
		}
		s, err := w.m.Load(w.t.Context(), id)
		w.must("alive", err == nil, rec.alive)
		if rec.alive {
			w.must("user", s.User(), rec.user)
			w.must("values", fmt.Sprint(valuesOf(s)), fmt.Sprint(rec.values))
		}
	}
	w.must("records", w.count(), live)
	if w.stands() && !w.s.Dirty() && len(w.pending) == 0 {
		c := w.s.Cookie()
		w.must("the cookie", c.Name+"="+c.Value, w.tokens[w.token].cookie)
	}
}

// A session of Manager.New beside clients that hold its cookie, of this moment
// or an older one, with a store that fails now and then: whatever they do, in
// whatever order, all that was acknowledged holds, and nothing else.
func TestNewOutsideHTTPAsTheModel(t *testing.T) {
	for seed := range uint64(300) {
		w := &twin{world: newWorld(t, func(c *core.Config) { c.CountRequests = seed%3 == 0 }), rng: rand.New(rand.NewPCG(seed, 0)), records: map[core.ID]*modelled{}}
		w.say("seed %d", seed)
		w.s = w.m.New(t.Context())
		for range 60 {
			w.clock.Advance(time.Duration(w.rng.IntN(20)) * time.Second)
			switch w.rng.IntN(16) {
			case 0:
				w.login = []string{"alice", "client"}[w.rng.IntN(2)]
				w.say("login %s", w.login)
				if was := w.s.User(); was != "" && was != w.login {
					w.pending = append(w.pending, func(v map[string]int64) bool { clear(v); return true })
				}
				w.s.Login(w.login)
			case 1:
				w.say("regenerate")
				w.s.Regenerate()
				w.rotate = true
			case 2:
				if w.rng.IntN(3) == 0 {
					rec := w.records[w.id]
					w.say("destroy")
					w.must("Destroy", w.s.Destroy(), nil)
					if rec != nil {
						cookie := w.s.Cookie()
						w.must("the cookie is cleared", cookie != nil && cookie.MaxAge < 0, rec.alive)
						rec.alive = false
					}
					w.id, w.pending, w.login, w.rotate = core.ID{}, nil, "", false
					w.check()
				}
			case 3, 4, 5, 6, 7:
				w.say("alter")
				if change := w.alter(w.s); change != nil {
					w.pending = append(w.pending, change)
				}
			case 8, 9, 10:
				w.save()
			default:
				w.request()
			}
		}
	}
}
