package memorystore

import (
	"fmt"
	"sync"

	"github.com/coatcheck/sessions/core"
)

// FullError says that a session was refused because the store is at a limit
// and holds nothing that it may evict. errors.Is(err, [core.ErrFull]) holds.
type FullError struct {
	Sessions    int   // that the store holds
	MaxSessions int   // Config.MaxSessions
	Bytes       int64 // that they take
	MaxBytes    int64 // Config.MaxBytes
	Size        int64 // that the refused session would take
}

func (e *FullError) Error() string {
	if e.Size > e.MaxBytes {
		return fmt.Sprintf("sessions: memory store: a session of %d bytes is more than MaxBytes, %d", e.Size, e.MaxBytes)
	}
	return fmt.Sprintf("sessions: memory store full: %d of at most %d sessions, %d of at most %d bytes, and no room for one of %d bytes without evicting a user; raise MaxSessions or MaxBytes, or shorten the idle timeout",
		e.Sessions, e.MaxSessions, e.Bytes, e.MaxBytes, e.Size)
}

// Unwrap returns [core.ErrFull].
func (e *FullError) Unwrap() error { return core.ErrFull }

func (s *Store) full(size int64) error {
	used := s.budget.now()
	return &FullError{used.sessions, s.budget.maxSessions, used.bytes, s.budget.maxBytes, size}
}

// amount is what sessions take. Fixed is the part of bytes that belongs to
// users, which nothing may evict.
type amount struct {
	sessions     int
	bytes, fixed int64
}

func (a amount) minus(b amount) amount {
	return amount{a.sessions - b.sessions, a.bytes - b.bytes, a.fixed - b.fixed}
}

// budget is how much the store holds and may hold. What is taken from it was
// there to be had: the limits are never exceeded, not even for a moment.
type budget struct {
	maxSessions int
	maxBytes    int64

	mu   sync.Mutex
	used amount
}

// take takes room for more, or nothing. To need less is always possible.
func (b *budget) take(more amount) bool {
	if more == (amount{}) {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if more.sessions > b.maxSessions-b.used.sessions || more.bytes > b.maxBytes-b.used.bytes {
		return false
	}
	b.used.sessions += more.sessions
	b.used.bytes += more.bytes
	b.used.fixed += more.fixed
	return true
}

// reaches reports whether so many more bytes fit if all that is not fixed
// goes.
func (b *budget) reaches(bytes int64) bool { return bytes <= b.maxBytes-b.now().fixed }

func (b *budget) now() amount {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
