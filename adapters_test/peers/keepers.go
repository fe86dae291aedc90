package peers

import (
	"bytes"
	"crypto/rand"
	"encoding/gob"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

// Keepers are the columns whose memory, growth and sweeps are looked at: one
// for each store that keeps sessions in the memory of the server.
var Keepers = []string{"chi/scs", "chi/scs-msgp", "chi/gorilla-memstore", "fiber/fiber-session", "chi/sessions-memory-securecookie", "chi/sessions-memory-aesgcm"}

// Sweep is a store in memory about to remove a great many sessions, in the
// background as it always does.
type Sweep struct {
	Name string
	// Fill makes n sessions and one more that stays. It returns the site and
	// a client that reads the one that stays, and a function that lets all
	// the others expire and returns when the removal may begin and how long
	// to watch.
	Fill func(n int) (s Site, reader Client, expire func() (watch time.Duration))
}

// Sweeps are the libraries whose stores remove what has expired. The store of
// gorilla/sessions and gin-contrib/sessions keeps it for ever.
var Sweeps = []Sweep{
	{"chi/scs", sweepSCS},
	{"fiber/fiber-session", sweepFiber},
	{"chi/sessions-memory-aesgcm", sweepOurs},
}

// sweepWatch is how long a sweep is watched that comes once a second.
const sweepWatch = 3 * time.Second

// realEnd is when n sessions of a store that cannot be told the time shall end:
// well after the last is made and the quiet before the sweep was watched.
func realEnd(n int) time.Time {
	return time.Now().Add(sweepWatch + 4*time.Second + time.Duration(n)*8*time.Microsecond)
}

func sweepSCS(n int) (Site, Client, func() time.Duration) {
	m := scsManager(scs.GobCodec{})
	store := memstore.NewWithCleanupInterval(time.Second)
	m.Store = store
	s := openSCS(Setup{Content: Small}, m)
	values := map[string]any{countKey: int64(0)}
	for _, t := range Small.Texts {
		values[t.Key] = t.Value
	}
	end := realEnd(n)
	record, err := scs.GobCodec{}.Encode(end, values)
	if err != nil {
		panic(err)
	}
	for range n {
		store.Commit(rand.Text(), bytes.Clone(record), end)
	}
	return closing{s, store.StopCleanup}, readerOf(s), func() time.Duration {
		time.Sleep(time.Until(end))
		return sweepWatch
	}
}

func sweepFiber(n int) (Site, Client, func() time.Duration) {
	const interval = 10 * time.Second // of its own store, and fixed
	store := fiberStore()
	s := openFiber(Setup{Content: Small}, store)
	values := map[any]any{countKey: int64(0)}
	for _, t := range Small.Texts {
		values[t.Key] = t.Value
	}
	var record bytes.Buffer
	if err := gob.NewEncoder(&record).Encode(&values); err != nil {
		panic(err)
	}
	end := realEnd(n)
	for range n {
		if err := store.Storage.Set(rand.Text(), record.Bytes(), time.Until(end)); err != nil {
			panic(err)
		}
	}
	return s, readerOf(s), func() time.Duration {
		time.Sleep(time.Until(end.Add(time.Second)))
		return interval + 2*time.Second
	}
}

func sweepOurs(n int) (Site, Client, func() time.Duration) {
	clock := &Clock{}
	s := FindColumn("chi/sessions-memory-aesgcm").Open(Setup{Content: Small, Clock: clock})
	client := s.Client(pathFill)
	for range n {
		client.Serve()
	}
	clock.Advance(20 * time.Minute) // of an idle limit of 30
	reader := readerOf(s)
	return s, reader, func() time.Duration {
		clock.Advance(15 * time.Minute)
		return sweepWatch
	}
}

func readerOf(s Site) Client {
	cookie := Filled(s)
	c := s.Client(pathRead)
	c.Present(cookie)
	return c
}

// closing is a site with something more to close.
type closing struct {
	Site
	also func()
}

func (c closing) Close() {
	c.Site.Close()
	c.also()
}

// Quantiles are the points of a distribution that BenchmarkSweep reports.
var Quantiles = []struct {
	At   float64
	Unit string
}{
	{0.5, "p50-ns"}, {0.9, "p90-ns"}, {0.99, "p99-ns"}, {0.999, "p99.9-ns"}, {0.9999, "p99.99-ns"}, {0.99999, "p99.999-ns"}, {1, "max-ns"},
}
