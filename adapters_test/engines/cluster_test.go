package engines

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/storeurl"
)

func clusterSpec(t testing.TB) appSpec {
	t.Helper()
	spec := newSpec("Redis Cluster", servers.RedisCluster(t).URL(), newTable())
	t.Cleanup(func() { removeKeys(t, spec) })
	return spec
}

// clusterFaults are those after which nothing may be missing. A master that is
// killed takes writes with it that it has acknowledged and not replicated, so
// histories do not have that; see TestMasterKilled.
func clusterFaults(t testing.TB) []fault {
	c := servers.RedisCluster(t)
	nothing := func() error { return nil }
	return []fault{
		{"a replica takes over", c.FailOver, nothing},
		{"the connections cut", c.Cut, nothing},
	}
}

// Promise 6, on a Cluster of which a master is killed: until its replica has
// taken over, whose session it had is answered 503; afterwards all go on where
// they were, without a restart of the application. What was written before had
// reached the replica, and what a master that lives acknowledges is kept, so no
// acknowledged write may be lost.
// Fails if a store takes a node that is gone for an absent record, or sticks to
// the nodes that it knew at first.
func TestMasterKilled(t *testing.T) {
	c := servers.RedisCluster(t)
	c.Settle(t)
	spec := clusterSpec(t)
	h, err := newApp(spec)
	if err != nil {
		t.Fatal(err)
	}
	a := inProcess(t, h, spec)
	type visitor struct {
		begun                 answer
		acknowledged, unknown int
	}
	var visitors [12]visitor
	// incr reports whether it was acknowledged, and checks that it was either
	// that or an outage.
	incr := func(v *visitor) bool {
		t.Helper()
		got := a.call("incr", "", v.begun.cookie)
		switch {
		case got.cookie != "" || got.clears || got.status != http.StatusOK && got.status != http.StatusServiceUnavailable:
			t.Fatalf("with a master killed: %+v", got)
		case got.status != http.StatusOK:
			v.unknown++
			return false
		case got.id != v.begun.id:
			t.Fatalf("got the session %s, want %s", got.id, v.begun.id)
		}
		var n int
		if _, err := fmt.Sscan(got.value, &n); err != nil || n <= v.acknowledged || n > v.acknowledged+1+v.unknown {
			t.Fatalf("incremented to %q, after %d acknowledged and %d unknown", got.value, v.acknowledged, v.unknown)
		}
		v.acknowledged, v.unknown = n, 0
		return true
	}
	for i := range visitors {
		v := &visitors[i]
		if v.begun = a.call("begin", "", ""); v.begun.status != http.StatusOK {
			t.Fatalf("begin: %+v", v.begun)
		}
		if !incr(v) {
			t.Fatal("no service to begin with")
		}
	}
	c.Settle(t)
	first := &visitors[0]
	promoted := c.KillMasterOf(t, spec.Table+":s:"+first.begun.id)
	killed := time.Now()
	outages := 0
	for deadline := killed.Add(30 * time.Second); ; outages++ {
		if incr(first) {
			if !promoted() {
				t.Fatal("a success while the master was down and its replica no master")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no service 30 s after a master was killed")
		}
		for i := range visitors {
			incr(&visitors[i])
		}
	}
	t.Logf("served again after %v; %d times it was not", time.Since(killed).Round(time.Millisecond), outages)
	if outages == 0 {
		t.Error("nobody noticed that the master was killed")
	}
	for i := range visitors {
		failures := 0
		for done := 0; done < 20; {
			if incr(&visitors[i]) {
				done++
			} else if failures++; failures > recovery {
				t.Fatalf("%d failures since the replica took over", failures)
			}
		}
	}
}

// Feature S4 on a Cluster: whoever waits for a lock is woken, whichever nodes
// the lock and the waiter's subscription are on, which ends with the store.
// Fails if a message stays on its node, or if Close forgets the subscription.
func TestLockWakesOnCluster(t *testing.T) {
	servers.RedisCluster(t).Settle(t)
	spec, ctx := clusterSpec(t), t.Context()
	client, err := newRedisClient(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var stores [2]core.Store
	for i := range stores {
		if stores[i], err = storeurl.Open(ctx, spec.DSN+"&prefix="+spec.Table); err != nil {
			t.Fatal(err)
		}
		defer stores[i].(io.Closer).Close()
	}
	// handOver returns how long after its release one who waits has the lock.
	handOver := func(from, to core.Store, id core.ID) time.Duration {
		unlock, err := from.(core.Locker).Lock(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan time.Time, 1)
		go func() {
			unlock, err := to.(core.Locker).Lock(ctx, id)
			if got <- time.Now(); err != nil {
				t.Error(err)
				return
			}
			unlock()
		}()
		mark := fmt.Sprintf("%s:w:{%[1]s:l:%s}", spec.Table, id)
		for deadline := time.Now().Add(30 * time.Second); client.Do(ctx, client.B().Get().Key(mark).Build()).Error() != nil; {
			if time.Now().After(deadline) {
				t.Fatal("nobody waits for a message")
			}
			time.Sleep(time.Millisecond) // another program: there is nothing else to wait for
		}
		released := time.Now()
		unlock()
		return (<-got).Sub(released)
	}
	for n := range 24 {
		// Who is not woken looks half a second after the mark. A busy machine
		// may spoil a try, and a waiter that is not woken all of them.
		id, best := newRecord(n, "").ID, time.Hour
		for try := 0; try < 20 && best > 100*time.Millisecond; try++ {
			best = min(best, handOver(stores[n%2], stores[1-n%2], id))
		}
		if best > 100*time.Millisecond {
			t.Errorf("the lock of %s goes on %v after its release, at best", id, best)
		}
	}
	for _, s := range stores {
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	}
	subscribed := func() (n int64) {
		for _, node := range client.Nodes() {
			counts, err := node.Do(ctx, node.B().PubsubNumsub().Channel(spec.Table+":l").Build()).AsIntMap()
			if err != nil {
				t.Fatal(err)
			}
			n += counts[spec.Table+":l"]
		}
		return n
	}
	for deadline := time.Now().Add(30 * time.Second); subscribed() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the subscriptions outlive Close")
		}
	}
}
