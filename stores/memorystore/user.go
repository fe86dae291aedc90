package memorystore

import (
	"context"
	"strings"
	"sync"

	"github.com/coatcheck/sessions/core"
)

// users is the index of sessions by user: for each the first of a chain of
// entries. It changes in step with the entries, under the lock of their shard,
// so that it is exact.
type users struct {
	mu    sync.Mutex
	first map[string]*entry
}

// move changes the user of an entry, whose shard is locked. Sessions of one
// user share the name.
func (u *users) move(e *entry, user string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e.user != "" {
		u.unlink(e)
	}
	e.user = user
	if user == "" {
		return
	}
	if u.first == nil {
		u.first = make(map[string]*entry)
	}
	next := u.first[user]
	if next == nil {
		e.user = strings.Clone(user) // which may be part of something large
	} else {
		e.user = next.user
		e.after, next.before = next, e
	}
	u.first[e.user] = e
}

func (u *users) unlink(e *entry) {
	switch {
	case e.before != nil:
		e.before.after = e.after
	case e.after != nil:
		u.first[e.user] = e.after
	default:
		delete(u.first, e.user)
		if len(u.first) == 0 {
			u.first = nil // a map never shrinks by itself
		}
	}
	if e.after != nil {
		e.after.before = e.before
	}
	e.before, e.after = nil, nil
}

// of returns the entries of a user.
func (u *users) of(user string) (entries []*entry) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for e := u.first[user]; e != nil; e = e.after {
		entries = append(entries, e)
	}
	return entries
}

// ListUser returns the live records of a user, in no order: exactly those
// whose last Create or Update that has returned names the user, unless they
// come, go or change hands during the call.
func (s *Store) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	if user == "" {
		return nil, nil
	}
	now := s.now()
	entries := s.users.of(user)
	recs := make([]core.Record, 0, len(entries))
	for _, e := range entries {
		sh := s.shard(e.id)
		sh.mu.Lock()
		if !e.gone && e.live(now) && e.user == user {
			recs = append(recs, e.record())
		}
		sh.mu.Unlock()
	}
	return recs, nil
}
