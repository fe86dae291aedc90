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
	return fmt.Sprintf("sessions: memory store full: %d of at most %d sessions, %d of at most %d bytes, a session of %d bytes refused, none is anonymous; raise MaxSessions or MaxBytes, or shorten the idle timeout",
		e.Sessions, e.MaxSessions, e.Bytes, e.MaxBytes, e.Size)
}

// Unwrap returns [core.ErrFull].
func (e *FullError) Unwrap() error { return core.ErrFull }

// full is the error for a session of a size.
func (s *Store) full(size int64) error {
	sessions, bytes := s.budget.used()
	return &FullError{sessions, s.budget.maxSessions, bytes, s.budget.maxBytes, size}
}

// budget is how much the store holds and may hold. What is taken from it was
// there to be had: the limits are never exceeded, not even for a moment.
type budget struct {
	maxSessions int
	maxBytes    int64

	mu       sync.Mutex
	sessions int
	bytes    int64
}

// take takes room for as many more sessions and bytes, or nothing. Fewer bytes
// are always to be had.
func (b *budget) take(sessions int, bytes int64) bool {
	if sessions == 0 && bytes == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sessions+sessions > b.maxSessions || bytes > 0 && b.bytes > b.maxBytes-bytes {
		return false
	}
	b.sessions += sessions
	b.bytes += bytes
	return true
}

// give returns what a session had taken.
func (b *budget) give(bytes int64) {
	b.mu.Lock()
	b.sessions--
	b.bytes -= bytes
	b.mu.Unlock()
}

func (b *budget) used() (sessions int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions, b.bytes
}
