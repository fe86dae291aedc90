package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// patience bounds the wait for something that a broken program may never do.
const patience = 30 * time.Second

// playground is a running server under test.
type playground struct {
	t      *testing.T
	url    string
	gate   *gate
	stop   context.CancelFunc
	exit   chan int
	stderr *log
	tokens *tokens
	clock  *clock
}

// start runs the program in this process on a free port. When the test ends,
// it must have ended with status 0, and no cookie may be in what it logged.
func start(t *testing.T, args ...string) *playground {
	t.Helper()
	return startTuned(t, nil, args...)
}

func startTuned(t *testing.T, tune func(*core.Config), args ...string) *playground {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	p := &playground{t: t, gate: newGate(), stop: stop, exit: make(chan int, 1), stderr: &log{}, tokens: &tokens{}, clock: &clock{}}
	go func() {
		defer stdout.Close()
		p.exit <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), stdout, p.stderr, Stores(), func(srv *server, cfg *core.Config) {
			srv.sleep = p.gate.sleep
			srv.leakFor = 10 * time.Millisecond
			cfg.Clock = p.clock.now
			if tune != nil {
				tune(cfg)
			}
		})
	}()
	t.Cleanup(func() {
		p.gate.open()
		stop()
		if status := <-p.exit; status != 0 {
			t.Errorf("exit status %d, want 0: %s", status, p.stderr)
		}
		p.exit <- 0
		logged := p.stderr.String()
		for _, token := range p.tokens.all() {
			if strings.Contains(logged, token) {
				t.Errorf("a cookie is in the log:\n%s", logged)
			}
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	var ok bool
	if p.url, ok = strings.CutPrefix(strings.TrimSpace(line), "listening on "); err != nil || !ok {
		t.Fatalf("the first line of stdout is %q (%v): %s", line, err, p.stderr)
	}
	return p
}

// gate is where slow requests sleep: each hands over what to close for it to
// go on. Sleeps of no length pass.
type gate struct {
	came  chan chan struct{}
	once  sync.Once
	ended chan struct{}
}

func newGate() *gate {
	return &gate{came: make(chan chan struct{}), ended: make(chan struct{})}
}

func (g *gate) sleep(d time.Duration) {
	if d == 0 {
		return
	}
	leave := make(chan struct{})
	select {
	case g.came <- leave:
	case <-g.ended:
	}
	select {
	case <-leave:
	case <-g.ended:
	}
}

// open lets everybody pass from now on.
func (g *gate) open() { g.once.Do(func() { close(g.ended) }) }

// log is a buffer that several goroutines write to.
type log struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.b.Write(p)
	close(l.grown())
	l.more = nil
	return n, err
}

// grown is closed at the next write. l is locked.
func (l *log) grown() chan struct{} {
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.more
}

// awaitLog returns when the log contains a text.
func (p *playground) awaitLog(text string) {
	p.t.Helper()
	for l := p.stderr; ; {
		l.mu.Lock()
		more, there := l.grown(), strings.Contains(l.b.String(), text)
		l.mu.Unlock()
		if there {
			return
		}
		select {
		case <-more:
		case <-time.After(patience):
			p.t.Fatalf("the log never said %q", text)
		}
	}
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tokens is every cookie value that a playground has sent.
type tokens struct {
	mu   sync.Mutex
	list []string
}

func (k *tokens) add(v string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, v)
}

func (k *tokens) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list)
}

// user is a client with cookies. The jar of net/http/cookiejar would keep
// Secure cookies from plain HTTP, which browsers send to 127.0.0.1.
type user struct {
	p       *playground
	mu      sync.Mutex
	cookies map[string]string
	header  http.Header // of every request
}

func (p *playground) user() *user {
	return &user{p: p, cookies: map[string]string{}, header: http.Header{}}
}

// copy is a client with the same cookies: another tab, or a thief.
func (u *user) copy() *user {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.p.user()
	for name, value := range u.cookies {
		c.cookies[name] = value
	}
	return c
}

func (u *user) cookie(name string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cookies[name]
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any // if it is JSON
	hints  []int          // informational statuses before it
}

// cookies are the Set-Cookie lines.
func (r *reply) cookies() []string { return r.header["Set-Cookie"] }

func (u *user) get(path string, params ...string) *reply {
	u.p.t.Helper()
	return u.do(context.Background(), "GET", path, params...)
}

func (u *user) post(path string, params ...string) *reply {
	u.p.t.Helper()
	return u.do(context.Background(), "POST", path, params...)
}

// do sends a request: params are names and values, in the query of a GET and
// in the form of a POST. It returns nil if ctx ended first.
func (u *user) do(ctx context.Context, method, path string, params ...string) *reply {
	u.p.t.Helper()
	values := url.Values{}
	for i := 0; i < len(params); i += 2 {
		values.Add(params[i], params[i+1])
	}
	target, body := u.p.url+path, io.Reader(nil)
	if method == "POST" {
		body = strings.NewReader(values.Encode())
	} else if len(values) > 0 {
		target += "?" + values.Encode()
	}
	r := &reply{}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		r.hints = append(r.hints, code)
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, target, body)
	if err != nil {
		u.p.t.Fatal(err)
	}
	for name, values := range u.header {
		req.Header[name] = values
	}
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	u.mu.Lock()
	for name, value := range u.cookies {
		req.Header.Add("Cookie", name+"="+value)
	}
	u.mu.Unlock()

	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		if ctx.Err() == nil {
			u.p.t.Errorf("%s %s: %v", method, path, err)
			return &reply{}
		}
		return nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		u.p.t.Errorf("%s %s: %v", method, path, err)
	}
	r.status, r.header, r.body = res.StatusCode, res.Header, string(text)
	if res.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(text, &r.json); err != nil {
			u.p.t.Errorf("%s %s answers JSON that is none: %v: %s", method, path, err, text)
		}
	}
	u.take(r)
	return r
}

// take keeps the cookies of an answer. There must be one at most: promise 11.
func (u *user) take(r *reply) {
	u.p.t.Helper()
	if len(r.cookies()) > 1 {
		u.p.t.Errorf("%d Set-Cookie lines in one answer: %q", len(r.cookies()), r.cookies())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.MaxAge < 0 {
			delete(u.cookies, c.Name)
			continue
		}
		u.cookies[c.Name] = c.Value
		u.p.tokens.add(c.Value)
	}
}

// async sends a request without waiting for its answer.
func (u *user) async(method, path string, params ...string) <-chan *reply {
	u.p.t.Helper()
	done := make(chan *reply, 1)
	go func() { done <- u.do(context.Background(), method, path, params...) }()
	return done
}

// want checks a status and JSON fields: names and values.
func (r *reply) want(t *testing.T, what string, status int, fields ...any) *reply {
	t.Helper()
	if r == nil {
		t.Fatalf("%s: no answer", what)
	}
	if r.status != status {
		t.Errorf("%s: status %d, want %d: %s", what, r.status, status, r.body)
	}
	for i := 0; i < len(fields); i += 2 {
		got, ok := r.json[fields[i].(string)]
		want := fields[i+1]
		if n, isInt := want.(int); isInt {
			want = float64(n)
		}
		if same := ok && jsonEqual(got, want); !same {
			t.Errorf("%s: %v is %v (there: %v), want %v: %s", what, fields[i], got, ok, want, r.body)
		}
	}
	return r
}

func jsonEqual(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return bytes.Equal(x, y)
}

// awaitClosed returns when the server takes no connections any more.
func (p *playground) awaitClosed() {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			return
		}
		conn.Close()
	}
	p.t.Fatal("the server goes on taking connections")
}

// calls is how often each verb of the store was called.
func (p *playground) calls() map[string]any {
	p.t.Helper()
	return p.user().get("/debug/calls").json
}

func (p *playground) fault(op, mode, n string) {
	p.t.Helper()
	p.user().post("/debug/fault", "op", op, "mode", mode, "n", n).want(p.t, "fault", 200, "ok", true)
}

// records is how many sessions the store holds.
func (p *playground) records() int {
	p.t.Helper()
	return int(p.user().get("/debug/store").json["count"].(float64))
}
