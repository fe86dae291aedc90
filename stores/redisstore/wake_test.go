package redisstore

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// patient makes a store wait for a message, if there is a subscription, and
// otherwise look all the time.
func patient(t *testing.T, s *Store) *Store {
	s.lease, s.watch.look, s.watch.retry, s.watch.idle = time.Hour, time.Hour, 0, time.Hour
	t.Cleanup(func() { s.Close() })
	return s
}

// waiter is a Lock under way.
type waiter struct {
	done   chan struct{}
	unlock func()
	err    error
}

func startWaiter(ctx context.Context, s *Store, id core.ID) *waiter {
	w := &waiter{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.unlock, w.err = s.Lock(ctx, id)
	}()
	return w
}

// has waits until the waiter has the lock, and gives it back.
func (w *waiter) has(t *testing.T) {
	t.Helper()
	if <-w.done; w.err != nil {
		t.Fatalf("the waiter: %v", w.err)
	}
	w.unlock()
}

// until waits for something that another program or goroutine is about to do
// unseen: there is nothing else to wait for.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 seconds, not yet: %s", what)
		}
	}
}

// marked reports whether somebody waits for the lock who relies on a message.
func marked(t *testing.T, s *Store, id core.ID) bool {
	t.Helper()
	err := s.client.Do(t.Context(), s.client.B().Get().Key(s.newLock(id).keys[1]).Build()).Error()
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatal(err)
	}
	return err == nil
}

func untilMarked(t *testing.T, s *Store, id core.ID) {
	t.Helper()
	until(t, "the lock is marked", func() bool { return marked(t, s, id) })
}

// handOver has a waiter wait for the lock of a holder, and returns how long
// after the release it has the lock.
func handOver(t *testing.T, holder, next *Store, id core.ID, meanwhile func()) time.Duration {
	t.Helper()
	ctx := soon(t)
	unlock, err := holder.Lock(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	w := startWaiter(ctx, next, id)
	untilMarked(t, holder, id)
	if meanwhile != nil {
		meanwhile()
	}
	released := time.Now()
	unlock()
	w.has(t)
	return time.Since(released)
}

// subscribers is how many connections listen on the channel of a store.
func subscribers(t *testing.T, server *server, s *Store) int64 {
	t.Helper()
	client := server.client(t)
	defer client.Close()
	counts, err := client.Do(t.Context(), client.B().PubsubNumsub().Channel(s.channel()).Build()).AsIntMap()
	if err != nil {
		t.Fatal(err)
	}
	return counts[s.channel()]
}

// pairs calls test, with each protocol, on two stores of one prefix. Each has a
// client of its own, with one connection for all commands.
func pairs(t *testing.T, test func(t *testing.T, server *server, one, two *Store)) {
	for name, resp2 := range map[string]bool{"RESP3": false, "RESP2": true} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t)
			option := server.option()
			option.AlwaysRESP2, option.PipelineMultiplex = resp2, -1
			one := newStore(t, newClient(t, option), nil)
			two := beside(t, one, newClient(t, option))
			test(t, server, patient(t, one), patient(t, two))
		})
	}
}

// Feature S4, across processes. Nobody looks here without being woken.
// Fails if a release is not told, or not heard, or not minded.
func TestLockWakes(t *testing.T) {
	pairs(t, func(t *testing.T, _ *server, one, two *Store) {
		for range 100 {
			handOver(t, one, two, newUnknown(), nil)
			handOver(t, two, one, newUnknown(), nil)
		}
		if left := keys(t.Context(), t, one); len(left) > 0 {
			t.Errorf("keys are left: %v", left)
		}
	})
}

// Fails if the key of the mark is in another slot, or if a message stays on its
// node.
func TestLockWakesOnCluster(t *testing.T) {
	nodes := startCluster(t, 3)
	client := func() rueidis.Client {
		return newClient(t, rueidis.ClientOption{InitAddress: []string{nodes[0].addr}, DisableCache: true})
	}
	one := newStore(t, client(), nil)
	two := patient(t, beside(t, one, client()))
	patient(t, one)
	for range 100 {
		handOver(t, one, two, newUnknown(), nil)
		handOver(t, two, one, newUnknown(), nil)
	}
}

// Feature S4: a lock that was held for 50 ms goes on within 20 ms.
func TestLockWakesSoon(t *testing.T) {
	one := newStore(t, sharedClient(t), nil)
	two := beside(t, one, one.client)
	defer one.Close()
	defer two.Close()
	const rounds = 20 // of which a busy machine may spoil some
	best := time.Hour
	for range rounds {
		best = min(best, handOver(t, one, two, newUnknown(), func() { time.Sleep(50 * time.Millisecond) }))
	}
	if best >= 20*time.Millisecond {
		t.Errorf("the waiter has the lock %v after its release, at best", best)
	}
}

// Fails if a subscription that was lost is not noticed, or not begun again.
func TestSubscriptionIsLost(t *testing.T) {
	pairs(t, func(t *testing.T, server *server, one, two *Store) {
		cut := func() { server.command(t, "CLIENT", "KILL", "TYPE", "pubsub") }
		for range 10 {
			handOver(t, one, two, newUnknown(), cut)
		}
		for range 10 {
			id := newUnknown()
			handOver(t, one, two, id, func() {
				one.client.Do(t.Context(), one.client.B().Del().Key(one.newLock(id).keys[1]).Build())
				cut()
				untilMarked(t, one, id)
			})
		}
		if n := subscribers(t, server, one); n != 1 {
			t.Errorf("%d connections are subscribed, want the waiter's", n)
		}
	})
}

// Fails if one who waits for a message misses that the holder died, or gave the
// lock back untold, as a version that knows no messages does.
func TestLockLooksAgain(t *testing.T) {
	one := patient(t, newStore(t, sharedClient(t), nil))
	two := patient(t, beside(t, one, one.client))
	handOver(t, one, two, newUnknown(), nil) // from now on two is subscribed
	ctx := soon(t)
	do := func(cmd rueidis.Completed) {
		t.Helper()
		if err := one.client.Do(ctx, cmd).Error(); err != nil {
			t.Fatal(err)
		}
	}
	id := newUnknown()
	do(one.client.B().Set().Key(one.newLock(id).keys[0]).Value("one that died").PxMilliseconds(300).Build())
	startWaiter(ctx, two, id).has(t)

	two.watch.look = 50 * time.Millisecond
	id = newUnknown()
	do(one.client.B().Set().Key(one.newLock(id).keys[0]).Value("another").Build())
	w := startWaiter(ctx, two, id)
	untilMarked(t, one, id)
	do(one.client.B().Del().Key(one.newLock(id).keys[0]).Build())
	w.has(t)
}

// Without the right to publish or to subscribe, locks work, and who waits looks.
// Fails if that right is needed, or if anybody relies on a message that does
// not come.
func TestLockWithoutChannels(t *testing.T) {
	server := startServer(t)
	one := patient(t, exampleUser(t, server, func(rules string) string {
		return strings.Replace(rules, "&shop:l", "resetchannels", 1)
	}))
	two := patient(t, beside(t, one, one.client))
	ctx, id := soon(t), newUnknown()
	for range 10 {
		unlock, err := one.Lock(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		w := startWaiter(ctx, two, id)
		until(t, "the server refused a subscription", func() bool {
			return strings.Contains(server.command(t, "INFO", "commandstats"), "cmdstat_subscribe:")
		})
		if marked(t, one, id) {
			t.Error("one who cannot hear has left a mark")
		}
		unlock()
		w.has(t)
	}
	// The other may hear, but the holder may not tell.
	hears, err := New(server.client(t), Config{Prefix: one.prefix})
	if err != nil {
		t.Fatal(err)
	}
	defer hears.Close()
	l := one.newLock(id)
	if err := one.acquire(ctx, l); err != nil {
		t.Fatal(err)
	}
	w := startWaiter(ctx, hears, id)
	untilMarked(t, one, id)
	if code, err := one.number(ctx, releaseScript, l.keys, l.owner, one.channel(), l.name); code != codeDone || err != nil {
		t.Errorf("the release of one who may not tell: %d, %v", code, err)
	}
	w.has(t)
}

// Fails if one subscription, as it ends, takes the next for its own.
func TestSubscriptionIsSucceeded(t *testing.T) {
	w := newWatch()
	ended, end := context.WithCancel(t.Context())
	end()
	woken := w.join("a lock")
	w.became(t.Context(), true)
	<-woken
	w.became(ended, false)
	if len(woken) > 0 || !w.live {
		t.Error("a subscription that is over ended the one that followed")
	}
}

// Fails if there are messages, or connections, for locks that nobody waits for.
func TestLockIsQuiet(t *testing.T) {
	server := startServer(t)
	one := patient(t, newStore(t, server.client(t), nil))
	two := patient(t, beside(t, one, server.client(t)))
	published := func() int {
		_, line, _ := strings.Cut(server.command(t, "INFO", "commandstats"), "cmdstat_publish:calls=")
		line, _, _ = strings.Cut(line, ",")
		n, _ := strconv.Atoi(line)
		return n
	}
	ctx := soon(t)
	for _, s := range []*Store{one, one, two} {
		for range 10 {
			unlock, err := s.Lock(ctx, newUnknown())
			if err != nil {
				t.Fatal(err)
			}
			unlock()
		}
	}
	if n := published(); n != 0 {
		t.Errorf("%d messages about locks that nobody waited for", n)
	}
	if n := subscribers(t, server, one); n != 0 {
		t.Errorf("%d connections are subscribed, and nobody waited", n)
	}
	handOver(t, one, two, newUnknown(), nil)
	if n := published(); n != 1 {
		t.Errorf("%d messages about a lock that one waited for", n)
	}
	if n := subscribers(t, server, one); n != 1 {
		t.Errorf("%d connections are subscribed, want the waiter's", n)
	}
}

// listeners is how many goroutines listen, of all stores.
func listeners() int {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 2)
	return strings.Count(profile.String(), "redisstore.(*Store).listen(")
}

// Fails if a subscription outlasts its store or its use, or if Close waits for a
// server that hangs.
func TestSubscriptionEnds(t *testing.T) {
	pairs(t, func(t *testing.T, server *server, one, two *Store) {
		connections := func() int {
			return strings.Count(server.command(t, "CLIENT", "LIST"), "\n")
		}
		before := listeners()
		gone := func() bool { return listeners() == before && subscribers(t, server, one) == 0 }

		idle := func(d time.Duration) {
			two.watch.mu.Lock()
			defer two.watch.mu.Unlock()
			two.watch.idle = d
		}
		idle(time.Millisecond)
		handOver(t, one, two, newUnknown(), nil)
		until(t, "an idle subscription ends", gone)
		idle(time.Hour)
		quiet := connections()
		handOver(t, one, two, newUnknown(), nil) // begins another
		if n := subscribers(t, server, one); n != 1 {
			t.Errorf("%d connections are subscribed, want 1", n)
		}
		server.pause()
		two.Close()
		server.resume()
		until(t, "a closed subscription ends", gone)
		until(t, "its connections are closed", func() bool { return connections() <= quiet })

		ctx, id := soon(t), newUnknown()
		unlock, err := one.Lock(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		w := startWaiter(ctx, two, id)
		until(t, "it waits", func() bool {
			two.watch.mu.Lock()
			defer two.watch.mu.Unlock()
			return len(two.watch.waiting) > 0
		})
		unlock()
		w.has(t)
		if !gone() {
			t.Error("a closed store subscribed")
		}
	})
}
