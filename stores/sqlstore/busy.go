package sqlstore

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

// SQLite has one writer at a time. The others sleep and look again, each by
// itself: among a few dozen, some never get through. So the writers of this
// process queue up here, and only those of other processes are left to SQLite's
// way; its busy timeout may be short, because the store goes on where that ends.

// maxBusy is how long a statement is tried while others write, unless its
// context ends before.
const maxBusy = 30 * time.Second

// turn waits until no other statement of this store writes.
func (s *Store) turn(ctx context.Context) (done func(), err error) {
	if s.writer == nil {
		return func() {}, nil
	}
	select {
	case s.writer <- struct{}{}:
		return func() { <-s.writer }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// busy reports whether SQLite did not run a statement because others write.
// Every driver for it says so in the words of SQLite.
func (s *Store) busy(err error) bool {
	return s.dialect == SQLite && strings.Contains(err.Error(), "database is locked")
}

// pause waits a moment, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
