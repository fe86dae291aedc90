package memorystore

import (
	"bytes"
	"time"

	"github.com/coatcheck/sessions/core"
)

// entry is a record as the store keeps it: one allocation, times as
// milliseconds since 1970, and what few records have kept apart. An update
// changes it in place. Its shard's lock guards it.
type entry struct {
	id       core.ID // never changes, and needs no lock
	proof    [32]byte
	previous *previous // or nil
	user     string    // written under the lock of the users as well
	values   []byte    // never changed, only replaced

	version, generation, requests                      uint64
	created, login, access, expires, deadline, horizon int64
	idle                                               time.Duration

	// Neighbours among the entries of the same user. The lock of the users
	// guards them.
	before, after *entry

	at         [2]int32 // where it is in its shard's heaps, or absent
	persistent bool
	gone       bool // removed: whoever still knows the entry must leave it
}

// previous is the proof before a rotation, while it may still read.
type previous struct {
	proof [32]byte
	until int64
}

const (
	// overhead is what an entry takes beside its values and its user: 208
	// bytes for itself and some hundred for its places in the shard's map
	// and heaps and in the index of users.
	overhead = 320
	// grain is the step in which the rest is counted. Allocations come in
	// steps as well, and most updates stay within one.
	grain = 64
)

// cost is what a record counts against Config.MaxBytes.
func cost(user string, values []byte, rotated bool) int64 {
	n := len(user) + cap(values)
	if rotated {
		n += 48
	}
	return overhead + int64((n+grain-1)/grain*grain)
}

func recordCost(rec *core.Record) int64 {
	return cost(rec.User, rec.Values, rec.Previous != [32]byte{})
}

func (e *entry) cost() int64 { return cost(e.user, e.values, e.previous != nil) }

// trim copies values that would keep much more memory alive than they need.
func trim(values []byte) []byte {
	if cap(values) > len(values)+len(values)/3+grain {
		return bytes.Clone(values)
	}
	return values
}

// set takes over what an update may change, except the user: see Store.place.
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
func (e *entry) record() core.Record {
	rec := core.Record{
		ID:          e.id,
		Version:     e.version,
		Generation:  e.generation,
		Proof:       e.proof,
		User:        e.user,
		CreatedAt:   instant(e.created),
		LoginAt:     instant(e.login),
		LastAccess:  instant(e.access),
		ExpiresAt:   instant(e.expires),
		IdleTimeout: e.idle,
		Deadline:    instant(e.deadline),
		Horizon:     instant(e.horizon),
		Persistent:  e.persistent,
		Requests:    e.requests,
		Values:      e.values,
	}
	if e.previous != nil {
		rec.Previous, rec.PreviousUntil = e.previous.proof, instant(e.previous.until)
	}
	return rec
}

// instant is the inverse of Time.UnixMilli, the zero time included.
func instant(milli int64) time.Time { return time.UnixMilli(milli).UTC() }

func (e *entry) live(now int64) bool { return e.expires > now }
