package redisstore

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// wiretap sees what goes over the connections of a client.
type wiretap struct {
	trips atomic.Int64 // how often the client wrote after the server had answered, or at first

	mu       sync.Mutex
	loseNext string // lose the answer to the next command that has this word
	lost     int
}

// attach makes a client's connections pass through the tap, one connection
// only, on which rueidis sends nothing of its own after it was set up.
func (w *wiretap) attach(option rueidis.ClientOption) rueidis.ClientOption {
	dial := option.DialCtxFn
	option.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, c *tls.Config) (net.Conn, error) {
		conn, err := dial(ctx, addr, d, c)
		if err != nil {
			return nil, err
		}
		return &tapped{Conn: conn, tap: w}, nil
	}
	option.PipelineMultiplex = -1
	option.Dialer.KeepAlive = time.Hour
	return option
}

// count returns the round trips that f takes.
func (w *wiretap) count(f func()) int64 {
	before := w.trips.Load()
	f()
	return w.trips.Load() - before
}

// loseAnswer makes the connection break after the server has carried out the
// next command that has this word, before the client hears of it.
func (w *wiretap) loseAnswer(word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loseNext = word
}

func (w *wiretap) losses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

type tapped struct {
	net.Conn
	tap     *wiretap
	waiting atomic.Bool // for an answer
	lose    atomic.Bool // that answer
}

func (c *tapped) Write(b []byte) (int, error) {
	if !c.waiting.Swap(true) {
		c.tap.trips.Add(1)
	}
	c.tap.mu.Lock()
	if word := c.tap.loseNext; word != "" && strings.Contains(string(b), word) {
		c.tap.loseNext = ""
		c.lose.Store(true)
	}
	c.tap.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.waiting.Store(false)
	}
	if c.lose.Swap(false) {
		c.tap.mu.Lock()
		c.tap.lost++
		c.tap.mu.Unlock()
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// hooked is a client that lets a test act before each command.
type hooked struct {
	rueidis.Client
	before func(command []string) (send bool)
}

func (h *hooked) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if h.before != nil && !h.before(cmd.Commands()) {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		return h.Client.Do(cancelled, cmd)
	}
	return h.Client.Do(ctx, cmd)
}
