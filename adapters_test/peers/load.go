package peers

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Served are the columns and paths that are also measured as HTTP servers.
var Served = []string{
	"chi/bare", "chi/scs", "chi/scs-msgp", "chi/gorilla-cookie", "chi/gorilla-memstore",
	"chi/sessions-memory-securecookie", "chi/sessions-memory-aesgcm", "chi/sessions-cookie-securecookie", "chi/sessions-cookie-aesgcm",
	"gin/bare", "gin/gin-contrib-cookie", "gin/gin-contrib-memstore", "gin/sessions-memory-securecookie", "gin/sessions-memory-aesgcm",
}

// ServeVariable names the environment variable that makes the test program a
// server of the column it holds. It prints its address and serves until its
// standard input ends.
const ServeVariable = "SESSIONS_PEERS_SERVE"

// Listen serves a column on loopback and returns its address.
func Listen(c Column) (addr string, err error) {
	s, ok := c.Open(Setup{Content: Small}).(site)
	if !ok {
		return "", fmt.Errorf("peers: %s is not on net/http", c.Name())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go (&http.Server{Handler: s.handler}).Serve(l)
	return l.Addr().String(), nil
}

// Loader makes requests to a server on loopback, from connections that stay
// open, each with one request at a time. It costs as little as it can, since
// it runs on the same machine.
type Loader struct {
	request []byte
	conns   []net.Conn
}

// loadConns is how many connections a loader has.
const loadConns = 32

// loadTimeout bounds one run of a loader, whatever the number of requests.
const loadTimeout = 30 * time.Second

// NewLoader connects to a server and prepares the request of a path, with the
// cookie of a new session if it is asked for.
func NewLoader(addr, path string, with bool) (*Loader, error) {
	l := &Loader{}
	for range loadConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.conns = append(l.conns, conn)
	}
	cookie := ""
	if with {
		answer, err := exchange(l.conns[0], request(addr, pathFill, ""), make([]byte, 16<<10))
		if err != nil {
			l.Close()
			return nil, err
		}
		for line := range strings.SplitSeq(string(answer), "\r\n") {
			if value, ok := strings.CutPrefix(line, "Set-Cookie: "); ok {
				cookie = pair(value)
			}
		}
	}
	l.request = request(addr, path, cookie)
	return l, nil
}

func request(host, path, cookie string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: peers\r\nAccept: */*\r\n", path, host)
	if cookie != "" {
		fmt.Fprintf(&b, "Cookie: %s\r\n", cookie)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// Run makes n requests and returns when all are answered.
func (l *Loader) Run(n int) error {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	errs := make([]error, len(l.conns))
	end := time.Now().Add(loadTimeout)
	for i, conn := range l.conns {
		conn.SetDeadline(end)
		wg.Go(func() {
			buf := make([]byte, 16<<10)
			for errs[i] == nil && left.Add(-1) >= 0 {
				_, errs[i] = exchange(conn, l.request, buf)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close closes the connections.
func (l *Loader) Close() {
	for _, conn := range l.conns {
		conn.Close()
	}
}

// exchange makes one request and returns the answer, which must be a success.
func exchange(conn net.Conn, request, buf []byte) ([]byte, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	for n := 0; n < len(buf); {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return nil, err
		}
		n += m
		if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n"+string(okay))) {
			if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
				return nil, fmt.Errorf("peers: %.40q", buf[:n])
			}
			return buf[:n], nil
		}
		if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200")[:min(n, 12)]) {
			return nil, fmt.Errorf("peers: %.40q", buf[:n])
		}
	}
	return nil, errors.New("peers: the answer is too long")
}
