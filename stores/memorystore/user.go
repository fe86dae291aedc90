package memorystore

import (
	"context"
	"sync"

	"github.com/coatcheck/sessions/core"
)

// users is the index of sessions by user: for each user the first of a chain
// of links. It changes under the lock of the session's shard, so that it is
// exact whenever a verb has returned. Links are numbered from 1.
type users struct {
	mu     sync.Mutex
	first  map[string]int32
	blocks []*[linkBlock]link // grow without copying
	free   int32              // first of the chain of free links
}

const linkBlock = 256

type link struct {
	id            core.ID
	before, after int32
}

func (u *users) link(i int32) *link { return &u.blocks[(i-1)/linkBlock][(i-1)%linkBlock] }

// add notes that a session is the user's.
func (u *users) add(user string, id core.ID) int32 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.free == 0 {
		u.grow()
	}
	i := u.free
	l := u.link(i)
	u.free = l.after
	*l = link{id: id, after: u.first[user]}
	if l.after != 0 {
		u.link(l.after).before = i
	}
	u.first[user] = i
	return i
}

// grow adds a block of free links.
func (u *users) grow() {
	if u.first == nil {
		u.first = make(map[string]int32)
	}
	start := int32(len(u.blocks) * linkBlock)
	u.blocks = append(u.blocks, new([linkBlock]link))
	for i := start + linkBlock; i > start; i-- {
		u.link(i).after = u.free
		u.free = i
	}
}

// remove takes a session from its user.
func (u *users) remove(user string, i int32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l := u.link(i)
	switch {
	case l.before != 0:
		u.link(l.before).after = l.after
	case l.after != 0:
		u.first[user] = l.after
	default:
		delete(u.first, user)
	}
	if l.after != 0 {
		u.link(l.after).before = l.before
	}
	*l = link{after: u.free}
	u.free = i
	if len(u.first) == 0 {
		u.first, u.blocks, u.free = nil, nil, 0 // neither shrinks by itself
	}
}

// ids returns the sessions of a user.
func (u *users) ids(user string) (ids []core.ID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := u.first[user]; i != 0; i = u.link(i).after {
		ids = append(ids, u.link(i).id)
	}
	return ids
}

// ListUser returns the live records of a user, in no order. It misses none
// whose Create or Update with this user has returned, unless the record goes
// or changes hands meanwhile. The error is always nil.
func (s *Store) ListUser(_ context.Context, user string) ([]core.Record, error) {
	now := s.now()
	var recs []core.Record
	for _, id := range s.users.ids(user) {
		sh := s.shard(id)
		sh.mu.Lock()
		if e, _, err := sh.find(id, now); err == nil && e.user == user {
			recs = append(recs, e.record())
		}
		sh.mu.Unlock()
	}
	return recs, nil
}
