package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Cluster is a private Redis Cluster on loopback: three masters, and a replica
// of each. Its nodes keep nothing on the disk, and replication is asynchronous:
// it is the handover of [Cluster.FailOver] that loses nothing, and a master that
// is killed loses what its replica does not have yet.
type Cluster struct {
	nodes []*Server

	turns   int                // of FailOver
	elected [masters]time.Time // when a master and its replica last changed places
}

// electionPause is how long two nodes have to wait before they change places
// again: until then Redis gives no vote, and meanwhile there would be no writes.
const electionPause = 5 * time.Second

// masters is how many there are; twice as many nodes.
const masters = 3

var cluster struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// RedisCluster returns the Cluster of this process.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	cluster.once.Do(func() { cluster.cluster, cluster.err = launchCluster() })
	if errors.Is(cluster.err, exec.ErrNotFound) {
		t.Skipf("no Redis: install redis-server (%v)", cluster.err)
	}
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	return cluster.cluster
}

func launchCluster() (*Cluster, error) {
	server, err := findRedis()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sessions-cluster-")
	if err != nil {
		return nil, err
	}
	atExit(func() { os.RemoveAll(dir) })
	c := &Cluster{}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for i := range 2 * masters {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		bus, err := freePort()
		if err != nil {
			return nil, err
		}
		home := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return nil, err
		}
		s := &Server{
			name: fmt.Sprintf("node %d of the Redis Cluster", i), owned: true,
			url: (&url.URL{Scheme: "redis", Host: net.JoinHostPort("127.0.0.1", port)}).String(),
			command: command{path: server, dir: home, log: filepath.Join(home, "log"), args: []string{
				"--port", port, "--cluster-port", bus, "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "no",
				"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"}},
		}
		s.ready = func(ctx context.Context) error {
			_, err := tell(ctx, s.url, "PING")
			return err
		}
		if err := s.start(); err != nil {
			return nil, err
		}
		atExit(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.kill()
		})
		// Epochs that differ from the outset leave nothing to agree upon.
		if _, err := tell(ctx, s.url, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return nil, err
		}
		if i < masters {
			from, to := i*16384/masters, (i+1)*16384/masters-1
			if _, err := tell(ctx, s.url, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to)); err != nil {
				return nil, err
			}
		}
		if c.nodes = append(c.nodes, s); i > 0 {
			if _, err := tell(ctx, c.nodes[0].url, "CLUSTER", "MEET", "127.0.0.1", port, bus); err != nil {
				return nil, err
			}
		}
	}
	// Each node has to know whom it shall follow.
	if err := c.until(ctx, "all nodes know each other", func(views map[*Server][]member) bool {
		for _, view := range views {
			if len(view) != len(c.nodes) || slices.ContainsFunc(view, func(m member) bool { return m.is("handshake") }) {
				return false
			}
		}
		return len(views) == len(c.nodes)
	}); err != nil {
		return nil, err
	}
	for i, s := range c.nodes[masters:] {
		id, err := tell(ctx, c.nodes[i].url, "CLUSTER", "MYID")
		if err == nil {
			_, err = tell(ctx, s.url, "CLUSTER", "REPLICATE", id)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, c.settle(ctx)
}

// freePort returns a port that was free a moment ago. It is none of those that
// the system gives to whoever asks for any, so that it stays free while its
// server is down.
func freePort() (string, error) {
	var err error
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(20000))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, l.Close()
		}
	}
	return "", err
}

// URL names all nodes, in the form that rueidis expects.
func (c *Cluster) URL() string {
	text := c.nodes[0].url
	for i, s := range c.nodes[1:] {
		text += string("?&"[min(i, 1)]) + "addr=" + strings.TrimPrefix(s.url, "redis://")
	}
	return text
}

// member is a node as another one, or itself, sees it.
type member struct {
	address string
	flags   []string
	slots   []string
}

func (m member) is(flag string) bool { return slices.Contains(m.flags, flag) }

// serves reports whether it is a master with slots.
func (m member) serves() bool { return m.is("master") && !m.is("fail") && len(m.slots) > 0 }

// views asks all nodes that answer for what they see.
func (c *Cluster) views(ctx context.Context) map[*Server][]member {
	views := make(map[*Server][]member)
	for _, s := range c.nodes {
		text, err := tell(ctx, s.url, "CLUSTER", "NODES")
		if err != nil {
			continue
		}
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) < 8 {
				continue
			}
			address, _, _ := strings.Cut(f[1], "@")
			views[s] = append(views[s], member{address, strings.Split(f[2], ","), f[8:]})
		}
	}
	return views
}

// until polls the nodes: there is nothing else to wait for.
func (c *Cluster) until(ctx context.Context, what string, done func(map[*Server][]member) bool) error {
	for {
		views := c.views(ctx)
		if done(views) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the Redis Cluster does not come to the point where %s: %v", what, views)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settle waits until every node serves and sees all others well, and each
// replica has all that its master has and follows it.
func (c *Cluster) settle(ctx context.Context) error {
	return c.until(ctx, "it is whole", func(views map[*Server][]member) bool {
		if len(views) != len(c.nodes) {
			return false
		}
		for s, view := range views {
			serving, following := 0, 0
			for _, m := range view {
				switch {
				case m.is("fail"), m.is("fail?"):
					return false
				case m.serves():
					serving++
				case m.is("slave"):
					following++
				}
			}
			info, err := tell(ctx, s.url, "CLUSTER", "INFO")
			if err != nil || !strings.Contains(info, "cluster_state:ok") || serving != masters || following != masters {
				return false
			}
			if replication, err := tell(ctx, s.url, "INFO", "replication"); err != nil || !inStep(replication) {
				return false
			}
		}
		return true
	})
}

// inStep reports whether INFO tells of a replica that follows its master, or
// of a master that has one and no more than it.
func inStep(info string) bool {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	if fields["role"] == "slave" {
		return fields["master_link_status"] == "up"
	}
	return strings.Contains(fields["slave0"], "state=online,offset="+fields["master_repl_offset"]+",")
}

// Settle waits until the Cluster is whole, with all that was written on the
// replicas too. Nobody may write meanwhile.
func (c *Cluster) Settle(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.settle(ctx); err != nil {
		t.Fatal(err)
	}
}

// FailOver has a replica take over from its master, another one each time, and
// waits until all nodes know. The master waits for the replica to have all that
// it has, and then answers no more writes: nothing is lost.
func (c *Cluster) FailOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	turn := c.turns % masters
	c.turns++
	// Nodes i and i+masters take turns.
	var replica *Server
	for _, s := range []*Server{c.nodes[turn], c.nodes[turn+masters]} {
		info, err := tell(ctx, s.url, "INFO", "replication")
		if err != nil {
			return err
		}
		if strings.Contains(info, "role:slave") {
			replica = s
		}
	}
	if replica == nil {
		return fmt.Errorf("no replica among %v and %v", c.nodes[turn], c.nodes[turn+masters])
	}
	time.Sleep(time.Until(c.elected[turn].Add(electionPause)))
	defer func() { c.elected[turn] = time.Now() }()
	for {
		// It is refused while the two are not connected, and given up after
		// five seconds.
		_, err := tell(ctx, replica.url, "CLUSTER", "FAILOVER")
		if err == nil {
			try, cancel := context.WithTimeout(ctx, 6*time.Second)
			err = c.until(try, replica.name+" is a master", func(views map[*Server][]member) bool {
				return len(views) == len(c.nodes) && c.promoted(replica, views)
			})
			cancel()
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// promoted reports whether all nodes that answer take s for a master.
func (c *Cluster) promoted(s *Server, views map[*Server][]member) bool {
	for _, view := range views {
		if !slices.ContainsFunc(view, func(m member) bool { return s.at(m) && m.serves() }) {
			return false
		}
	}
	return true
}

func (s *Server) at(m member) bool { return strings.TrimPrefix(s.url, "redis://") == m.address }

// KillMasterOf kills the master of a key, and returns a function that reports
// whether the replica has taken over, by its own account. When the test ends,
// the Cluster is whole again.
func (c *Cluster) KillMasterOf(t testing.TB, key string) (promoted func() bool) {
	t.Helper()
	for i, master := range c.nodes {
		info, err := tell(t.Context(), master.url, "INFO", "replication")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(info, "role:master") {
			continue
		}
		if _, err := tell(t.Context(), master.url, "EXISTS", key); err != nil {
			continue // it says who has the key
		}
		replica := c.nodes[(i+masters)%len(c.nodes)]
		promoted = func() bool {
			info, err := tell(t.Context(), replica.url, "INFO", "replication")
			return err == nil && strings.Contains(info, "role:master")
		}
		master.Kill(t)
		t.Cleanup(func() {
			// Not before: it comes back with nothing.
			ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
			defer cancel()
			err := c.until(ctx, replica.name+" is a master", func(views map[*Server][]member) bool { return c.promoted(replica, views) })
			if err != nil {
				t.Error(err)
			}
			c.elected[i%masters] = time.Now()
			master.Start(t)
			c.Settle(t)
		})
		return promoted
	}
	t.Fatalf("no master has the key %q", key)
	return nil
}

// Cut has all nodes close the connections of their clients.
func (c *Cluster) Cut() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, s := range c.nodes {
		if _, err := tell(ctx, s.url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); err != nil {
			return err
		}
	}
	return nil
}
