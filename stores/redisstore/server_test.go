package redisstore

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// server is a private redis-server on a Unix socket, or, in a Cluster, on
// loopback. It keeps nothing on disk unless asked to.
type server struct {
	dir    string
	addr   string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
	reaper *exec.Cmd
}

const (
	noServer  = "no redis-server (or valkey-server) on this machine; to run this test: apt-get install redis-server"
	orAnother = noServer + ", or set SESSIONS_TEST_REDIS to the URL of a server"
)

// startServer starts a server that ends with the test.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s, err := launch(args...)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(noServer)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func launch(args ...string) (*server, error) {
	dir, err := os.MkdirTemp("", "redis") // short: a socket's path is limited
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, addr: filepath.Join(dir, "sock")}
	s.args = append([]string{"--port", "0", "--unixsocket", s.addr, "--dir", dir, "--save", "", "--appendonly", "no"}, args...)
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// start runs the server and waits until it answers.
func (s *server) start() error {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if binary, err = exec.LookPath("valkey-server"); err != nil {
			return err
		}
	}
	s.cmd = exec.Command(binary, s.args...)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.reaper = reap(s.cmd.Process.Pid, s.dir)
	exited := make(chan struct{})
	s.exited = exited
	go func() {
		defer close(exited)
		s.cmd.Wait()
	}()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return errors.New("the private server ended at once")
		case <-time.After(5 * time.Millisecond): // another program: there is nothing else to wait for
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the private server does not answer: %w", err)
		}
	}
}

// reap ends a server whose test did not live to do it: a shell that waits for
// its input to end.
func reap(pid int, dir string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", `read _; kill -9 "$0"; rm -rf "$1"`, strconv.Itoa(pid), dir)
	if _, err := cmd.StdinPipe(); err != nil || cmd.Start() != nil {
		return nil
	}
	return cmd
}

func (s *server) network() string {
	if strings.HasPrefix(s.addr, "/") {
		return "unix"
	}
	return "tcp"
}

func (s *server) ping() error {
	conn, err := net.Dial(s.network(), s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err == nil && !strings.HasPrefix(string(buf[:n]), "+PONG") {
		err = fmt.Errorf("PING: %q", buf[:n])
	}
	return err
}

// kill ends the server as a crash would.
func (s *server) kill() {
	if s.reaper != nil {
		s.reaper.Process.Kill()
		s.reaper.Wait()
		s.reaper = nil
	}
	if s.exited != nil {
		s.cmd.Process.Kill()
		<-s.exited
	}
}

func (s *server) close() {
	s.kill()
	os.RemoveAll(s.dir)
}

// option is how a client finds this server.
func (s *server) option() rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress:       []string{s.addr},
		ForceSingleClient: true,
		DisableCache:      true,
		DialCtxFn: func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, s.network(), addr)
		},
	}
}

func (s *server) client(t testing.TB) rueidis.Client { return newClient(t, s.option()) }

func newClient(t testing.TB, option rueidis.ClientOption) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// shared is the server of tests that do it no harm: the one of the environment,
// or a private one for all of them.
var shared struct {
	once   sync.Once
	server *server
	client rueidis.Client
	err    error
}

func sharedClient(t testing.TB) rueidis.Client {
	t.Helper()
	shared.once.Do(func() {
		option, url := rueidis.ClientOption{}, os.Getenv("SESSIONS_TEST_REDIS")
		if url != "" {
			option, shared.err = rueidis.ParseURL(url)
		} else if shared.server, shared.err = launch(); shared.err == nil {
			option = shared.server.option()
		}
		if shared.err == nil {
			option.DisableCache = true
			shared.client, shared.err = rueidis.NewClient(option)
		}
	})
	if errors.Is(shared.err, exec.ErrNotFound) {
		t.Skip(orAnother)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.client
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.client != nil {
		shared.client.Close()
	}
	if shared.server != nil {
		shared.server.close()
	}
	os.Exit(code)
}

// newStore returns a store of its own on a client: its prefix is fresh and its
// keys are removed in the end.
func newStore(t testing.TB, client rueidis.Client, clock func() time.Time) *Store {
	t.Helper()
	store, err := New(client, Config{Prefix: "test-" + rand.Text(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, store) })
	return store
}

// beside returns a store on the same keys with another client, as another
// process has.
func beside(t testing.TB, s *Store, client rueidis.Client) *Store {
	t.Helper()
	other, err := New(client, Config{Prefix: s.prefix, Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// removeAll removes the keys of a store.
func removeAll(t testing.TB, s *Store) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, key := range keys(ctx, t, s) {
		if err := s.client.Do(ctx, s.client.B().Del().Key(key).Build()).Error(); err != nil {
			t.Error(err)
		}
	}
}

// keys returns all keys of a store, of records, lists and locks.
func keys(ctx context.Context, t testing.TB, s *Store) []string {
	t.Helper()
	var out []string
	nodes, err := s.primaries(ctx)
	if err != nil {
		t.Logf("removing the keys of the test: %v", err)
		return nil
	}
	for _, node := range nodes {
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(globEscaper.Replace(s.prefix)+":*").Count(1000).Build()).AsScanEntry()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, page.Elements...)
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return out
}

// freePorts returns two ports that were free a moment ago.
func freePorts(t testing.TB) (a, b string) {
	t.Helper()
	var ports [2]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports[0], ports[1]
}

// startNode starts a node of a Cluster. Another program may take a port
// meanwhile, so it tries again.
func startNode(t testing.TB) (s *server, bus string) {
	t.Helper()
	for try := 1; ; try++ {
		port, bus := freePorts(t)
		s, err := launch("--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", bus,
			"--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip(noServer)
		}
		if err == nil {
			t.Cleanup(s.close)
			s.addr = net.JoinHostPort("127.0.0.1", port)
			return s, bus
		}
		if try == 5 {
			t.Fatal(err)
		}
	}
}

// startCluster starts a Cluster of masters that share the slots.
func startCluster(t testing.TB, masters int) []*server {
	t.Helper()
	var nodes []*server
	var meet []string // the first
	for i := range masters {
		s, bus := startNode(t)
		from, to := i*16384/masters, (i+1)*16384/masters-1
		s.command(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to))
		if nodes = append(nodes, s); i == 0 {
			_, port, _ := net.SplitHostPort(s.addr)
			meet = []string{"CLUSTER", "MEET", "127.0.0.1", port, bus}
			continue
		}
		s.command(t, meet...)
	}
	deadline := time.Now().Add(20 * time.Second)
	for _, s := range nodes {
		for {
			info := s.command(t, "CLUSTER", "INFO")
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", masters)) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the private Cluster does not form:\n%s", info)
			}
			time.Sleep(20 * time.Millisecond) // other programs: there is nothing else to wait for
		}
	}
	return nodes
}

// command runs a command on the server itself, whatever it is part of.
func (s *server) command(t testing.TB, args ...string) string {
	t.Helper()
	client, err := rueidis.NewClient(s.option())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer := client.Do(t.Context(), client.B().Arbitrary(args...).Build())
	if err := answer.Error(); err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	text, _ := answer.ToString()
	return text
}
