package redisstore

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/storetest"
	"github.com/redis/rueidis"
)

// startAt starts a server on a port of loopback, with arguments that may depend
// on its directory. Another program may take the port meanwhile, so it tries
// again.
func startAt(t testing.TB, args func(dir, port string) []string) *server {
	t.Helper()
	for try := 1; ; try++ {
		dir, err := os.MkdirTemp("", "redis")
		if err != nil {
			t.Fatal(err)
		}
		port, _ := freePorts(t)
		s := &server{dir: dir, addr: net.JoinHostPort("127.0.0.1", port), args: args(dir, port)}
		t.Cleanup(s.close)
		err = s.start()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip(noServer)
		}
		if err == nil {
			return s
		}
		if try == 5 {
			t.Fatal(err)
		}
	}
}

// startSentinel starts a primary with a replica, and a Sentinel that watches
// them and takes a server for dead that is silent for so long; client finds the
// primary through it.
func startSentinel(t testing.TB, silence time.Duration) (primary *server, client rueidis.Client) {
	t.Helper()
	node := func(more ...string) *server {
		return startAt(t, func(dir, port string) []string {
			return append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--repl-diskless-sync-delay", "0"}, more...)
		})
	}
	primary = node()
	host, port, _ := net.SplitHostPort(primary.addr)
	node("--replicaof", host+" "+port)
	sentinel := startAt(t, func(dir, own string) []string {
		file := filepath.Join(dir, "sentinel.conf") // which it rewrites
		conf := "port " + own + "\nbind 127.0.0.1\ndir " + dir + "\nsentinel monitor sessions " + host + " " + port + " 1\n" +
			"sentinel down-after-milliseconds sessions " + strconv.FormatInt(silence.Milliseconds(), 10) + "\nsentinel failover-timeout sessions 10000\n"
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{file, "--sentinel"}
	})
	// A Sentinel that does not know of a replica has nobody to promote.
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(sentinel.command(t, "INFO", "sentinel"), "slaves=1,"); {
		if time.Now().After(deadline) {
			t.Fatalf("the private Sentinel finds no replica:\n%s", sentinel.command(t, "INFO", "sentinel"))
		}
		time.Sleep(20 * time.Millisecond) // other programs: there is nothing else to wait for
	}
	return primary, newClient(t, rueidis.ClientOption{
		InitAddress: []string{sentinel.addr}, Sentinel: rueidis.SentinelOption{MasterSet: "sessions"}, DisableCache: true,
	})
}

func TestStoreBehindSentinel(t *testing.T) {
	_, client := startSentinel(t, time.Hour) // a slow machine is no dead one
	storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
		return newStore(t, client, clock)
	})
}

// Promise 6 behind Sentinel: while the primary is dead every call fails, and
// none of them answers; when the replica has taken over, the store works on
// with every record that had reached it.
// Fails if an error of the client passes for an answer, or if the store sticks
// to the primary that it knew.
func TestPrimaryDies(t *testing.T) {
	primary, client := startSentinel(t, 2*time.Second)
	s := newStore(t, client, nil)
	rec := session(time.Now(), "ann")
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a Sentinel that was held up does nothing for 30 seconds
	defer cancel()
	if n, err := client.Do(ctx, client.B().Wait().Numreplicas(1).Timeout(20_000).Build()).AsInt64(); n != 1 || err != nil {
		t.Fatalf("the replica does not follow: %d, %v", n, err)
	}
	one, two := patient(t, beside(t, s, client)), patient(t, beside(t, s, client))
	handOver(t, one, two, newUnknown(), nil)
	primary.kill()
	outages := 0
	load := func() (core.Record, error) {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		return s.Load(ctx, rec.ID)
	}
	for {
		got, err := load()
		if err == nil {
			if got.User != "ann" || got.Version != 1 {
				t.Errorf("Load after the failover: version %d of %q", got.Version, got.User)
			}
			break
		}
		outages++
		wantFailure(t, "Load while the primary is dead", err)
		if ctx.Err() != nil {
			t.Fatalf("no service, long after the primary died: %v", err)
		}
	}
	if outages == 0 {
		t.Error("nobody noticed that the primary was dead")
	}
	verbs(t, s, rec, func(what string, err error) {
		if err != nil {
			t.Errorf("%s after the failover: %v", what, err)
		}
	})
	handOver(t, one, two, newUnknown(), nil)
}
