package peers

import (
	"sync/atomic"
	"time"
)

// Clock is the machine's clock, moved forward.
type Clock struct {
	ahead atomic.Int64
	step  time.Duration // by which every look at it moves it
}

// Now tells the time.
func (c *Clock) Now() time.Time {
	return time.Now().Add(time.Duration(c.ahead.Add(int64(c.step))))
}

// Advance moves it forward.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
