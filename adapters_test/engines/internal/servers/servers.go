// Package servers starts private database servers for tests: on a directory of
// their own, reachable by a socket in it (a Cluster: on loopback), and stopped
// with the tests. A test package calls [Main] from its TestMain; a test asks for
// a server and gets the one that its process shares:
//
//	func TestMain(m *testing.M) { servers.Main(m) }
//
//	func TestStore(t *testing.T) {
//		db, err := sql.Open("pgx", servers.Postgres(t).URL())
//
// Where an environment variable names a server, that one is used instead, and
// tests that would kill it are skipped.
package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a running engine. Its faults are for one test at a time: no test
// that shares it may run in parallel with one that calls them.
type Server struct {
	name  string
	url   string
	owned bool // by this process, rather than named by the environment

	command command
	ready   func(ctx context.Context) error
	cut     func(ctx context.Context) error

	mu      sync.Mutex
	process *process
	paused  bool
}

// command is how to run a program.
type command struct {
	path string
	args []string
	dir  string   // the working directory
	user identity // whom to run as
	log  string   // the file that takes its output
}

// startTimeout bounds how long a server may take to answer.
const startTimeout = 60 * time.Second

// URL is where the server listens, in the form that its driver expects.
func (s *Server) URL() string { return s.url }

// String returns the name of the engine.
func (s *Server) String() string { return s.name }

// Owned reports whether the server is this process's own, and may be killed.
func (s *Server) Owned() bool { return s.owned }

// NeedFaults skips the test if the server is not ours to kill, and otherwise
// makes sure that it runs again when the test ends.
func (s *Server) NeedFaults(t testing.TB) {
	t.Helper()
	if !s.owned {
		t.Skipf("%s was named by the environment and will not be killed: unset the variable to have one started", s.name)
	}
	t.Cleanup(func() {
		s.Resume(t)
		s.Start(t)
	})
}

// Kill ends the server and all its processes with SIGKILL, as a crash would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	if s.process != nil {
		s.process.kill()
		s.process, s.paused = nil, false
	}
}

// Start starts a server that was killed on the same data and address, and
// waits until it answers. On a running one it does nothing.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil || !s.owned {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		p, err := run(s.command)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		err = s.wait(ctx, p)
		if err == nil {
			s.process = p
			return nil
		}
		p.kill()
		// What is left of a killed one may hold its files for a moment.
		if !errors.Is(err, errExited) || ctx.Err() != nil {
			out, _ := os.ReadFile(s.command.log)
			return fmt.Errorf("%s does not come up: %w\n%s", s.name, err, out)
		}
	}
}

var errExited = errors.New("the process has exited")

// wait polls the server until it answers.
func (s *Server) wait(ctx context.Context, p *process) error {
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := s.ready(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Restart is Kill and Start.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill(t)
	s.Start(t)
}

// Pause stops the server and all its processes with SIGSTOP: connections stay
// and nothing answers.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && !s.paused {
		s.process.pause()
		s.paused = true
	}
}

// Resume lets a paused server go on. On another it does nothing.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && s.paused {
		s.process.resume()
		s.paused = false
	}
}

// Cut has the server close the connections of all its clients.
func (s *Server) Cut(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.cut(ctx); err != nil {
		t.Error(err)
	}
}

// engine is a kind of server, of which a process has at most one.
type engine struct {
	name     string
	variable string // of the environment; holds the URL of a running server
	example  string // of such a URL
	packages string // in Debian, that have the programs
	launch   func(dir string) (*Server, error)

	once   sync.Once
	server *Server
	err    error
}

// get returns the server of this process, and skips the test where there is
// none to be had.
func (e *engine) get(t testing.TB) *Server {
	t.Helper()
	e.once.Do(e.begin)
	if errors.Is(e.err, exec.ErrNotFound) {
		t.Skipf("no %s: install %s, or set %s to the URL of a server, such as %s (%v)", e.name, e.packages, e.variable, e.example, e.err)
	}
	if e.err != nil {
		t.Fatal(e.err)
	}
	return e.server
}

func (e *engine) begin() {
	if url := os.Getenv(e.variable); url != "" {
		e.server = &Server{name: e.name, url: url}
		return
	}
	dir, err := os.MkdirTemp("", "sessions-"+strings.ToLower(e.name)+"-")
	if err != nil {
		e.err = err
		return
	}
	atExit(func() { os.RemoveAll(dir) })
	if e.server, e.err = e.launch(dir); e.err != nil {
		return
	}
	e.server.name, e.server.owned = e.name, true
	atExit(func() {
		e.server.mu.Lock()
		defer e.server.mu.Unlock()
		e.server.kill()
	})
	e.err = e.server.start()
}

var exits struct {
	mu  sync.Mutex
	fns []func()
}

// atExit has fn called by Main, the last first.
func atExit(fn func()) {
	exits.mu.Lock()
	defer exits.mu.Unlock()
	exits.fns = append(exits.fns, fn)
}

// Main runs the tests, stops the servers that they started, and exits.
func Main(m *testing.M) {
	code := m.Run()
	exits.mu.Lock()
	for i := len(exits.fns) - 1; i >= 0; i-- {
		exits.fns[i]()
	}
	os.Exit(code)
}

// find looks for a program in PATH and in further directories, patterns
// allowed, of which the last match wins.
func find(program string, dirs ...string) (string, error) {
	for _, dir := range dirs {
		if found, _ := filepath.Glob(filepath.Join(dir, program)); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return exec.LookPath(program)
}

// prepare runs a program to its end.
func prepare(c command) error {
	p, err := run(c)
	if err != nil {
		return err
	}
	<-p.exited
	if p.err != nil {
		out, _ := os.ReadFile(c.log)
		return fmt.Errorf("%s: %w\n%s", filepath.Base(c.path), p.err, out)
	}
	return nil
}
