package peers

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
)

// remote is a kind of server and the libraries that speak to it. A process
// starts at most one.
type remote struct {
	name, packages string
	libraries      []Remote
	start          func() (*Engine, error)

	once   sync.Once
	engine *Engine
	err    error
}

var (
	onRedis    = &remote{name: "Redis", packages: "redis-server", libraries: OnRedis, start: StartRedis}
	onPostgres = &remote{name: "PostgreSQL", packages: "postgresql", libraries: OnPostgres, start: StartPostgres}
)

// addr returns the address of the server, and skips where there is none.
func (r *remote) addr(tb testing.TB) string {
	tb.Helper()
	r.once.Do(func() { r.engine, r.err = r.start() })
	if errors.Is(r.err, exec.ErrNotFound) {
		tb.Skipf("no %s here: install the package %s (%v)", r.name, r.packages, r.err)
	}
	if r.err != nil {
		tb.Fatal(r.err)
	}
	return r.engine.Addr
}

// stopServers ends what addr started.
func stopServers() {
	for _, r := range []*remote{onRedis, onPostgres} {
		if r.engine != nil {
			r.engine.Stop()
		}
	}
}

// column makes a column of a library, to be checked like the others.
func (r Remote) column(tb testing.TB, addr string, wire *Wire) Column {
	return Column{Library: r.Name, Keeps: OnServer, Renews: r.Name != "gin/gin-contrib-redis", Ours: r.Ours, Open: func(Setup) Site {
		s, err := r.Open(addr, wire)
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}}
}

func TestRedis(t *testing.T)    { onRedis.test(t) }
func TestPostgres(t *testing.T) { onPostgres.test(t) }

// test checks the columns, and that the round trips are counted.
func (r *remote) test(t *testing.T) {
	addr := r.addr(t)
	for _, l := range r.libraries {
		t.Run(l.Name, func(t *testing.T) {
			wire := &Wire{}
			if err := Check(l.column(t, addr, wire), Setup{Content: Small}); err != nil {
				t.Fatal(err)
			}
			if wire.Trips() == 0 {
				t.Error("no round trip was counted")
			}
		})
	}
}

func BenchmarkRedis(b *testing.B)    { onRedis.bench(b) }
func BenchmarkPostgres(b *testing.B) { onPostgres.bench(b) }

// remoteSessions is how many sessions there are, of which each request picks
// one at random.
const remoteSessions = 1000

// bench has S2 to S5 at 1, 16 and 128 clients. Each client makes one request
// after the other; the time is that of all requests over their number.
func (r *remote) bench(b *testing.B) {
	addr := r.addr(b)
	for _, l := range r.libraries {
		b.Run(l.Name, func(b *testing.B) {
			wire := &Wire{}
			c := l.column(b, addr, wire)
			ensure(b, c, Scenario{ID: r.name, Content: Small})
			s := c.Open(Setup{})
			defer s.Close()
			cookies := populate(s, nil, remoteSessions)
			for _, id := range []string{"S2", "S3", "S4", "S5"} {
				sc, with := FindScenario(id), cookies
				if !sc.With {
					with = []string{""}
				}
				for _, clients := range []int{1, 16, 128} {
					b.Run(fmt.Sprintf("%s/clients=%d", id, clients), func(b *testing.B) {
						concurrent(b, s, sc.Path, with, clients, wire)
					})
				}
			}
		})
	}
}

// concurrent times b.N requests from a number of clients, after some that open
// the connections and prepare the statements.
func concurrent(b *testing.B, s Site, path string, cookies []string, clients int, wire *Wire) {
	b.ReportAllocs()
	drive(b, s, path, cookies, clients, 16*clients)
	before := wire.Trips()
	b.ResetTimer()
	drive(b, s, path, cookies, clients, b.N)
	b.StopTimer()
	b.ReportMetric(float64(wire.Trips()-before)/float64(b.N), "trips/op")
}

// drive makes n requests from a number of clients.
func drive(b *testing.B, s Site, path string, cookies []string, clients, n int) {
	b.Helper()
	var left, failed atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			client := s.Client(path)
			next := dice{uint64(i) + 1}
			for left.Add(-1) >= 0 {
				client.Present(cookies[next.roll(len(cookies))])
				if client.Serve() != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if bad := failed.Load(); bad > 0 {
		b.Fatalf("%d of %d requests failed", bad, n)
	}
}
