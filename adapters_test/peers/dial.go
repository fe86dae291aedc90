package peers

import (
	"context"
	"net"
	"sync/atomic"
)

// Wire counts what goes over the connections that it makes.
type Wire struct {
	trips atomic.Int64
}

// Trips returns how many round trips there were: an answer, or a part of one,
// that was read after something was written. One round trip may carry many
// commands.
func (w *Wire) Trips() int64 { return w.trips.Load() }

// Dial connects as net.Dialer.DialContext does.
func (w *Wire) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, wire: w}, nil
}

type wireConn struct {
	net.Conn
	wire  *Wire
	asked atomic.Bool // something was written since the last read
}

func (c *wireConn) Write(p []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(p)
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.asked.Swap(false) {
		c.wire.trips.Add(1)
	}
	return n, err
}
