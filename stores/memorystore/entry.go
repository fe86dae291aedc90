package memorystore

import (
	"time"

	"github.com/coatcheck/sessions/core"
)

// entry is a record as the store keeps it: one allocation, times as
// milliseconds since 1970, and what few records have kept apart. An update
// changes it in place. Its shard's lock guards it.
type entry struct {
	id       core.ID
	proof    [32]byte
	previous *previous // or nil
	user     string
	values   []byte // never changed, only replaced

	version, generation, requests                      uint64
	created, login, access, expires, deadline, horizon int64
	idle                                               time.Duration

	link       int32 // in the index of users, 0 if there is no user
	persistent bool
}

// previous is the proof before a rotation, while it may still read.
type previous struct {
	proof [32]byte
	until int64
}

const (
	// overhead is what an entry takes beside its values and its user: 192
	// bytes for itself and some hundred for its places in the shard's map
	// and heaps and in the index of users.
	overhead = 320
	// grain is the step in which the rest is counted. Allocations come in
	// steps as well, and most updates stay within one.
	grain = 64
)

// newAmount is what a record counts against the limits.
func newAmount(user string, values []byte, rotated bool) amount {
	n := len(user) + cap(values)
	if rotated {
		n += 48
	}
	a := amount{sessions: 1, bytes: overhead + int64((n+grain-1)/grain*grain)}
	if user != "" {
		a.fixed = a.bytes
	}
	return a
}

func recordAmount(rec *core.Record) amount {
	return newAmount(rec.User, rec.Values, rec.Previous != [32]byte{})
}

func (e *entry) amount() amount { return newAmount(e.user, e.values, e.previous != nil) }

// trim copies values that would keep much more memory alive than they need.
func trim(values []byte) []byte {
	if cap(values) > len(values)+len(values)/3+grain {
		return exact(values)
	}
	return values
}

// exact copies values into just as much memory.
func exact(values []byte) []byte { return append(make([]byte, 0, len(values)), values...) }

// set takes over what an update may change, except the user: see Store.setUser.
func (e *entry) set(rec *core.Record) {
	e.version, e.generation, e.requests = rec.Version, rec.Generation, rec.Requests
	e.proof = rec.Proof
	e.previous = nil
	if rec.Previous != [32]byte{} {
		e.previous = &previous{rec.Previous, rec.PreviousUntil.UnixMilli()}
	}
	e.created, e.login = rec.CreatedAt.UnixMilli(), rec.LoginAt.UnixMilli()
	e.access, e.expires = rec.LastAccess.UnixMilli(), rec.ExpiresAt.UnixMilli()
	e.deadline, e.horizon = rec.Deadline.UnixMilli(), rec.Horizon.UnixMilli()
	e.idle = rec.IdleTimeout
	e.persistent = rec.Persistent
	e.values = rec.Values
}

// record is the entry as it is now.
func (e *entry) record() (rec core.Record) {
	e.fill(&rec)
	return rec
}

// fill is record without a copy of it. rec is the zero one.
func (e *entry) fill(rec *core.Record) {
	rec.ID, rec.Version, rec.Generation = e.id, e.version, e.generation
	rec.Proof = e.proof
	if e.previous != nil {
		rec.Previous, rec.PreviousUntil = e.previous.proof, instant(e.previous.until)
	}
	rec.User, rec.LoginAt = e.user, instant(e.login)
	rec.CreatedAt, rec.LastAccess, rec.ExpiresAt = instant(e.created), instant(e.access), instant(e.expires)
	rec.IdleTimeout = e.idle
	rec.Deadline, rec.Horizon = instant(e.deadline), instant(e.horizon)
	rec.Persistent, rec.Requests = e.persistent, e.requests
	rec.Values = e.values
}

// instant is the inverse of Time.UnixMilli, the zero time included.
func instant(milli int64) time.Time { return time.UnixMilli(milli).UTC() }

func (e *entry) live(now int64) bool { return e.expires > now }
