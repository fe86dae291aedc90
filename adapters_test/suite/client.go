package suite

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// browser is a client that keeps the session's token, in a cookie as a browser
// would on localhost: the standard library's jar refuses Secure cookies over
// plain HTTP.
type browser struct {
	*site
	mu    sync.Mutex
	token string
}

func (s *site) browser() *browser { return &browser{site: s} }

// thief is another browser, with a copy of the token.
func (b *browser) thief() *browser { return &browser{site: b.site, token: b.value()} }

// keepRaw makes the browser send what no server sent it.
func (b *browser) keepRaw(value string) { b.token = value }

func (b *browser) value() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token
}

// answer is what came back.
type answer struct {
	b       *browser
	what    string
	status  int
	header  http.Header
	body    string
	cookies []*http.Cookie // the session's, or what its carriage has instead
}

// get sends a request and waits for the answer.
func (b *browser) get(path string, tune ...func(*http.Request)) *answer {
	b.Helper()
	a, err := b.send(path, tune...)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// begin sends a request whose answer is awaited later.
func (b *browser) begin(path string, tune ...func(*http.Request)) (wait func() *answer) {
	type result struct {
		a   *answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		a, err := b.send(path, tune...)
		done <- result{a, err}
	}()
	return func() *answer {
		b.Helper()
		r := <-done
		if r.err != nil {
			b.Fatal(r.err)
		}
		return r.a
	}
}

func method(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }

// presents makes a request carry exactly these tokens.
func (b *browser) presents(values ...string) func(*http.Request) {
	return func(r *http.Request) {
		name, lines := b.on.carriage.header(values...)
		r.Header[name] = lines
	}
}

func (b *browser) send(path string, tune ...func(*http.Request)) (*answer, error) {
	r, err := http.NewRequest("GET", b.server.URL+path, nil)
	if err != nil {
		return nil, err
	}
	if token := b.value(); token != "" {
		b.presents(token)(r)
	}
	for _, fn := range tune {
		fn(r)
	}
	resp, err := b.server.Client().Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &answer{b: b, what: r.Method + " " + path, status: resp.StatusCode, header: resp.Header, body: string(body), cookies: b.keep(resp.Header)}, nil
}

// crowd sends n requests at the same time, and expects all to succeed.
func (b *browser) crowd(path string, n int) {
	b.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if a, err := b.send(path); err != nil || a.status != http.StatusOK {
				b.Errorf("%s: %+v, %v", path, a, err)
			}
		})
	}
	wg.Wait()
}

// keep takes what an answer gives.
func (b *browser) keep(h http.Header) []*http.Cookie {
	got := b.on.carriage.received(h)
	for _, c := range got {
		b.mu.Lock()
		b.token = c.Value
		b.mu.Unlock()
		b.fixture.mu.Lock()
		if c.Value != "" && !slices.Contains(b.secrets, c.Value) {
			b.secrets = append(b.secrets, c.Value)
		}
		b.fixture.mu.Unlock()
	}
	return got
}

// dial sends a request over a connection of its own.
func (b *browser) dial(path string) (net.Conn, *bufio.Reader) {
	b.Helper()
	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n", path)
	if token := b.value(); token != "" {
		name, lines := b.on.carriage.header(token)
		fmt.Fprintf(conn, "%s: %s\r\n", name, lines[0])
	}
	fmt.Fprint(conn, "\r\n")
	return conn, bufio.NewReader(conn)
}

// is checks status and body.
func (a *answer) is(status int, body string) *answer {
	a.b.Helper()
	if a.status != status || a.body != body {
		a.b.Errorf("%s answered %d %q, want %d %q", a.what, a.status, a.body, status, body)
	}
	return a
}

// refused checks that the answer is an error page, with nothing of the
// handler's, and no token.
func (a *answer) refused(status int) *answer {
	a.b.Helper()
	if a.status != status || !strings.Contains(a.body, "Nothing was saved") || strings.Count(a.body, "\n") != 1 {
		a.b.Errorf("%s answered %d %q, want only the error page of a %d", a.what, a.status, a.body, status)
	}
	return a.silent()
}

// silent checks that no token was given or taken back.
func (a *answer) silent() *answer {
	a.b.Helper()
	if len(a.cookies) > 0 {
		a.b.Errorf("%s gave %q, want nothing of the session", a.what, a.cookies)
	}
	return a
}

// sets checks that exactly one token was given.
func (a *answer) sets() *answer {
	a.b.Helper()
	if len(a.cookies) != 1 || a.cookies[0].Value == "" {
		a.b.Errorf("%s gave %q, want exactly one token", a.what, a.cookies)
	}
	return a
}

// clears checks that the token was taken back, in exactly one line.
func (a *answer) clears() *answer {
	a.b.Helper()
	if len(a.cookies) != 1 || a.cookies[0].Value != "" || a.cookies[0].MaxAge >= 0 {
		a.b.Errorf("%s gave %q, want exactly one line that takes the token back", a.what, a.cookies)
	}
	return a
}
