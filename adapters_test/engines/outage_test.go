package engines

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
)

// outages are the ways in which a server fails and comes back.
var outages = []struct {
	name       string
	begin, end func(*servers.Server, testing.TB)
	// late means that what was sent during the outage may be done after it.
	late bool
}{
	{"killed", (*servers.Server).Kill, (*servers.Server).Start, false},
	{"paused", (*servers.Server).Pause, (*servers.Server).Resume, true},
}

// Promise 6: while the engine is down, every answer is a 5xx: not a logout, not
// an anonymous page, not a success. When it is back, so is the service, without
// a restart of the application, with every session and every increment that was
// acknowledged.
// Fails if a store takes an outage for an absent record, or holds on to
// connections that died.
func TestOutage(t *testing.T) {
	for _, e := range engines {
		if e.server == nil {
			continue
		}
		for _, o := range outages {
			t.Run(e.name+"/"+o.name, func(t *testing.T) {
				server := e.server(t)
				server.NeedFaults(t)
				spec := e.spec(t)
				h, err := newApp(spec)
				if err != nil {
					t.Fatal(err)
				}
				l := newLoad(t, inProcess(t, h, spec), 6)
				l.until(up, 20)
				o.begin(server, t)
				l.phase.Store(down)
				l.until(down, 3)
				l.phase.Store(changing)
				o.end(server, t)
				l.phase.Store(up)
				l.until(up, 20)
				l.stop()
				for _, v := range l.victims {
					if v.cookie == "" {
						continue
					}
					got := l.app.call("get", "", v.cookie)
					if got.status != http.StatusOK && !(o.late && got.status == http.StatusUnauthorized) {
						t.Errorf("after a logout that failed: %+v", got)
					}
				}
			})
		}
	}
}

// The phases of an outage. An answer belongs to a phase if its request began
// and ended in it.
const (
	up int32 = iota
	changing
	down
)

// load are clients that increment, each its own session, without a pause.
type load struct {
	t       *testing.T
	app     *app
	phase   atomic.Int32
	victims []answer // sessions that are logged out during the outage, in vain
	answers chan observed
	done    chan struct{}
	stop    func() // ends the clients
	n       int
}

type observed struct {
	client int
	phase  int32
	status int
}

// recovery is how many requests of a client may fail when the engine is back:
// each may meet a connection that died, of which the pool has 16.
const recovery = 20

func newLoad(t *testing.T, a *app, clients int) *load {
	l := &load{t: t, app: a, answers: make(chan observed), done: make(chan struct{}), n: clients}
	begin := func() answer {
		begun := a.call("begin", "", "")
		if begun.status != http.StatusOK {
			t.Fatalf("begin: %+v", begun)
		}
		return begun
	}
	var wg sync.WaitGroup
	l.stop = sync.OnceFunc(func() {
		close(l.done)
		wg.Wait()
	})
	t.Cleanup(l.stop)
	for i := range clients {
		begun, victim := begin(), begin()
		l.victims = append(l.victims, victim)
		wg.Go(func() { l.client(i, begun, victim) })
	}
	return l
}

// client increments until the load stops, and judges every answer.
func (l *load) client(i int, begun, victim answer) {
	acknowledged, unknown := 0, 0
	check := func(op string, got answer) {
		switch {
		case got.cookie != "" || got.clears:
			l.t.Errorf("%s set or cleared the cookie: %+v", op, got)
		case got.unknown() && got.status != http.StatusServiceUnavailable:
			l.t.Errorf("%s: an outage is told as %+v, want 503", op, got)
		case got.unknown():
		case got.status != http.StatusOK || got.id != begun.id:
			l.t.Errorf("%s: %+v, want the session %s", op, got, begun.id)
		}
	}
	for {
		phase := l.phase.Load()
		got := l.app.call("incr", "", begun.cookie)
		check("incr", got)
		n, _ := strconv.Atoi(got.value)
		switch {
		case got.unknown():
			unknown++
		case n <= acknowledged || n > acknowledged+1+unknown:
			l.t.Errorf("incremented to %d, after %d acknowledged and %d unknown", n, acknowledged, unknown)
			fallthrough
		default:
			acknowledged, unknown = n, 0
		}
		if l.phase.Load() != phase {
			phase = changing
		}
		if phase == down {
			if got.status == http.StatusOK {
				l.t.Errorf("a success while the engine was down: %+v", got)
			}
			out := l.app.call("logout", "", victim.cookie)
			switch {
			case l.phase.Load() != down:
				l.victims[i].cookie = "" // who knows
			case out.status != http.StatusServiceUnavailable:
				l.t.Errorf("logout while the engine was down: %+v", out)
			}
		}
		select {
		case l.answers <- observed{i, phase, got.status}:
		case <-l.done:
			return
		}
	}
}

// until waits until each client has had n answers in a phase, of the kind that
// belongs to it.
func (l *load) until(phase int32, n int) {
	l.t.Helper()
	good, bad := make([]int, l.n), make([]int, l.n)
	deadline := time.After(time.Minute)
	for waiting := l.n; waiting > 0; {
		select {
		case o := <-l.answers:
			switch {
			case o.phase != phase:
			case (o.status == http.StatusOK) == (phase == up):
				if good[o.client]++; good[o.client] == n {
					waiting--
				}
			default:
				if bad[o.client]++; bad[o.client] > recovery {
					l.t.Fatalf("client %d had %d failures since the engine is back", o.client, bad[o.client])
				}
			}
		case <-deadline:
			l.t.Fatalf("answers of each client after a minute: %d as they should be, %d not", good, bad)
		}
	}
	if phase == up {
		l.t.Logf("failures of each client while the engine was up: %d", bad)
	}
}
