package engines

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

// engine is what the tests of outages and histories run on: an application
// with a store.
type engine struct {
	name string
	// server is nil if there is none, which could fail by itself.
	server func(testing.TB) *servers.Server
	// spec prepares a store for a new application, gone when the test ends.
	spec func(testing.TB) appSpec
	// open opens that store, in any process.
	open func(appSpec) (core.Store, error)
	// faults are those that only this engine has, or nil.
	faults func(testing.TB) []fault
}

var engines = []engine{
	{"files", nil, fileSpec, openFiles, nil},
	{"SQLite", nil, sqlite.spec, sqlite.openSpec, nil},
	{"PostgreSQL", servers.Postgres, postgres.spec, postgres.openSpec, nil},
	{"MariaDB", servers.MariaDB, mariadb.spec, mariadb.openSpec, nil},
	{"Redis", servers.Redis, redisSpec, openRedis, nil},
	{"Redis Cluster", nil, clusterSpec, openRedis, clusterFaults},
}

// appSpec says which store an application is on. It reaches a process of its
// own through the environment.
type appSpec struct {
	Name   string // of this application, different from every other
	Engine string // its name
	DSN    string // or directory
	Table  string // or prefix
	Secret string
	// StoreTimeout is core.Config's.
	StoreTimeout time.Duration
}

const appVariable = "SESSIONS_TEST_APP"

func newSpec(engine, dsn, table string) appSpec {
	return appSpec{rand.Text(), engine, dsn, table, core.GenerateSecret().Reveal(), 300 * time.Millisecond}
}

func (d database) spec(t testing.TB) appSpec {
	t.Helper()
	spec := newSpec(d.name, d.dsn(t), newTable())
	d.store(t, d.open(t, spec.DSN), sqlstore.Config{Table: spec.Table})
	return spec
}

func (d database) openSpec(spec appSpec) (core.Store, error) {
	db, err := sql.Open(d.driver, spec.DSN)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return sqlstore.New(db, sqlstore.Config{Dialect: d.dialect, Table: spec.Table, SweepInterval: -1})
}

func init() { mysql.SetLogger(&mysql.NopLogger{}) } // it would tell of every connection that is cut

var (
	counter = core.NewKey[int]("counter")
	note    = core.NewKey[string]("note")
	item    = core.NewKey[string]("item")
)

// newApp returns the application of a spec.
func newApp(spec appSpec) (http.Handler, error) {
	for _, e := range engines {
		if e.name == spec.Engine {
			store, err := e.open(spec)
			if err != nil {
				return nil, err
			}
			return newAppOn(store, spec)
		}
	}
	return nil, fmt.Errorf("no engine %q", spec.Engine)
}

// newAppOn returns an application with one operation on its session for each
// path. It answers 200 with the session's ID and a value, or 401 without a
// session whose user is logged in.
func newAppOn(store core.Store, spec appSpec) (http.Handler, error) {
	secret, err := core.ParseSecret(spec.Secret)
	if err != nil {
		return nil, err
	}
	m, err := core.New(core.Config{
		Store: store, Secrets: []core.Secret{secret}, StoreTimeout: spec.StoreTimeout,
		TouchInterval: time.Millisecond, // so that touches meet everything else
		Logger:        slog.New(slog.DiscardHandler),
		OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), core.Status(err))
		},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	handle := func(path string, fn func(s *core.Session, arg string) (value *string)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			if path != "/begin" && s.User() == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			value := fn(s, r.URL.Query().Get("arg"))
			w.WriteHeader(http.StatusOK) // commits: from here on the value is the one stored
			fmt.Fprintf(w, "%v %s", s.ID(), *value)
		})
	}
	none := new(string)
	handle("/begin", func(s *core.Session, arg string) *string {
		s.Login("ann")
		return none
	})
	handle("/login", func(s *core.Session, arg string) *string {
		s.Login("ann")
		return none
	})
	handle("/logout", func(s *core.Session, arg string) *string {
		s.Destroy()
		return none
	})
	handle("/regenerate", func(s *core.Session, arg string) *string {
		s.Regenerate()
		return none
	})
	handle("/get", func(s *core.Session, arg string) *string {
		value := fmt.Sprintf("%d,%s,%s", counter.GetOr(s, 0), note.GetOr(s, ""), item.GetOr(s, ""))
		return &value
	})
	handle("/incr", func(s *core.Session, arg string) *string {
		value := new(string)
		counter.Update(s, func(n int) int {
			*value = fmt.Sprint(n + 1)
			return n + 1
		})
		return value
	})
	handle("/put", func(s *core.Session, arg string) *string {
		note.Set(s, arg)
		return none
	})
	handle("/give", func(s *core.Session, arg string) *string {
		item.Set(s, arg)
		return none
	})
	handle("/pop", func(s *core.Session, arg string) *string {
		value, _ := item.Pop(s)
		return &value
	})
	handle("/list", func(s *core.Session, arg string) *string {
		value := new(string)
		infos, err := m.UserSessions(context.Background(), s.User())
		if err != nil {
			*value = err.Error()
		}
		for _, info := range infos {
			*value += info.ID.String() + ","
		}
		return value
	})
	// It has its session already when it asks the URL, and changes it afterwards.
	handle("/after", func(s *core.Session, arg string) *string {
		resp, err := http.Get(arg)
		if err != nil {
			value := err.Error()
			return &value
		}
		resp.Body.Close()
		note.Set(s, "after")
		return none
	})
	h := m.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", spec.Name)
		h.ServeHTTP(w, r)
	}), nil
}

// app is a running application: a process of its own, or a part of this one.
type app struct {
	mu   sync.Mutex
	url  string
	spec appSpec
	cmd  *exec.Cmd // nil if it is in this process
}

// inProcess serves an application until the test ends.
func inProcess(t testing.TB, h http.Handler, spec appSpec) *app {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &app{url: server.URL, spec: spec}
}

// ownProcess starts the test binary again, as an application; see TestMain. It
// ends with the test.
func ownProcess(t testing.TB, spec appSpec) *app {
	t.Helper()
	a := &app{spec: spec}
	if err := a.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.kill)
	return a
}

func (a *app) start() error {
	text, err := json.Marshal(a.spec)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), appVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	// The process ends with its standard input, and so with this one.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("the application does not start: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.url, a.cmd = strings.TrimSpace(line), cmd
	return nil
}

// kill ends the process with SIGKILL.
func (a *app) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cmd != nil {
		a.cmd.Process.Kill()
		a.cmd.Wait()
		a.cmd = nil
		a.url = "http://127.0.0.1:1" // where nobody listens
	}
}

func (a *app) address() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.url
}

func TestMain(m *testing.M) {
	if text := os.Getenv(appVariable); text != "" {
		if err := serveApp(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	servers.Main(m)
}

// serveApp is the whole program of an application's process.
func serveApp(text string) error {
	var spec appSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	h, err := newApp(spec)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, h)
	fmt.Printf("http://%s\n", l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// answer is what a client sees of an operation.
type answer struct {
	status int    // 0 if the connection broke
	id     string // of the session
	value  string
	cookie string // that the answer sets, or ""
	clears bool   // the cookie
	text   string // of an error
}

// unknown reports whether the operation may or may not have taken effect.
func (a answer) unknown() bool { return a.status == 0 || a.status >= 500 }

var client = &http.Client{
	Timeout:   20 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// call performs an operation with a cookie.
func (a *app) call(op, arg, cookie string) answer {
	r, err := http.NewRequest(http.MethodPost, a.address()+"/"+op+"?arg="+arg, nil)
	if err != nil {
		return answer{text: err.Error()}
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: cookie})
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK && !strings.Contains(string(body), " ") {
		return answer{text: fmt.Sprint("the answer broke off: ", err)}
	}
	if resp.Header.Get("Server") != a.spec.Name {
		return answer{text: "the process was killed, and its port is another's by now"}
	}
	got := answer{status: resp.StatusCode}
	for _, c := range resp.Cookies() {
		got.cookie, got.clears = c.Value, c.MaxAge < 0
	}
	if got.status == http.StatusOK {
		got.id, got.value, _ = strings.Cut(string(body), " ")
	} else {
		got.text = strings.TrimSpace(string(body))
	}
	return got
}
