package core

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Store keeps records by ID. It is the whole of what a store author must
// write; stores/storetest checks it, and docs/write-a-store.md walks through
// a complete one.
//
// # Rules
//
// A store knows nothing of cookies, tokens or values: a [Record] is a few
// facts and some opaque bytes. Five rules carry the promises of the library:
//
//   - There is no upsert. Create only creates, Update and Touch only change
//     what is there. That is what keeps a logged-out session from coming back.
//   - Update is a compare-and-swap on Record.Version, atomic against every
//     other caller, in this process or another.
//   - A record whose ExpiresAt is not after now is absent: Load, Update and
//     Touch answer ErrNotFound, whether or not it was swept yet, and Create
//     may replace it.
//   - A record handed to or by a store is never changed afterwards by either
//     side, its Values included, so it may be kept and shared without a copy.
//   - A sentinel error ([ErrNotFound], [ErrExpired], [ErrExists], [ErrConflict],
//     [ErrCorrupt], [ErrFull]) is an answer. Every other error means that the
//     engine failed, and the request fails closed: an outage is never taken
//     for "not logged in".
//
// All methods are safe for concurrent use and honour the context: when it ends,
// they return soon, with an error that wraps the context's. Whether the call
// took effect is then unknown, and the caller reports a failure. Every call
// comes with a deadline ([Config].StoreTimeout) unless the store is
// [NonBlocking].
//
// Times have millisecond resolution; a store keeps at least that.
type Store interface {
	// Load returns the live record of id, or ErrNotFound. For a record that
	// expired but is still there it may answer ErrExpired instead. Bytes
	// that cannot be read back as a record are ErrCorrupt, not a failure of
	// the engine.
	Load(ctx context.Context, id ID) (Record, error)

	// Create stores a record under an ID that no live record has, or
	// answers ErrExists and changes nothing. A store at its limit answers
	// ErrFull.
	Create(ctx context.Context, rec Record) error

	// Update replaces the live record whose version is rec.Version-1.
	// It answers ErrNotFound if there is none, ErrConflict if its version
	// is another, ErrFull if the record grows beyond a limit of the store,
	// and then changes nothing.
	Update(ctx context.Context, rec Record) error

	// Touch moves the LastAccess and ExpiresAt of a live record forward,
	// each only if the new time is later than the stored one; it changes
	// nothing else, not even the version. ErrNotFound if there is none.
	Touch(ctx context.Context, id ID, access, expires time.Time) error

	// Delete removes the record, whatever its version, and reports whether
	// a live one was there. An absent record is no error.
	Delete(ctx context.Context, id ID) (existed bool, err error)
}

// The answers a store gives. Any other error means that the engine failed.
var (
	// ErrNotFound means that no live record has this ID: it was deleted, it
	// expired, or it never was.
	ErrNotFound = errors.New("sessions: no such session")
	// ErrExpired means that the session reached its idle or absolute limit
	// and its record is still there.
	ErrExpired = errors.New("sessions: the session has expired")
	// ErrExists means that Create met a live record with the same ID.
	ErrExists = errors.New("sessions: a session with this ID exists")
	// ErrConflict means that the stored version is another than the one this
	// update was made from. The manager reloads and replays; a caller that
	// sees it lost to so many others that it gave up, and may try again.
	ErrConflict = errors.New("sessions: the session was changed by others at the same time, try again")
	// ErrCorrupt means that a record exists but cannot be read back. The
	// session counts as gone, and the event is reported.
	ErrCorrupt = errors.New("sessions: the stored session cannot be read")
	// ErrFull means that the store is at its limit and found nothing that it
	// may evict. Raise the limit, or shorten the idle timeout.
	ErrFull = errors.New("sessions: the store is full")
)

// Record is what a store keeps of a session. The zero time means "none".
type Record struct {
	// ID names the record for its whole life. It is no credential.
	ID ID
	// Version is 1 at Create and one more at each Update.
	Version uint64
	// Generation is 1 at first and one more at each rotation of the token.
	Generation uint64

	// Proof is the SHA-256 of the secret half of the token that opens this
	// record. Previous is that of the token before, which may still read
	// until PreviousUntil.
	Proof         [32]byte
	Previous      [32]byte
	PreviousUntil time.Time

	// User is who logged in, or "". Stores that can index it should, see
	// UserLister.
	User string

	// CreatedAt is when the session was created, LoginAt when its user last
	// logged in, LastAccess when a request last used it (to the resolution
	// of Config.TouchInterval).
	CreatedAt, LoginAt, LastAccess time.Time
	// ExpiresAt is when a store must stop serving the record: the earlier of
	// the idle and the absolute limit.
	ExpiresAt time.Time
	// IdleTimeout is this session's own idle limit.
	IdleTimeout time.Duration
	// Deadline is this session's absolute limit. Horizon is the latest
	// Deadline that it ever had.
	Deadline, Horizon time.Time
	// Persistent means that the cookie outlives the browser.
	Persistent bool
	// Requests counts requests, if Config.CountRequests is set.
	Requests uint64

	// Values is the encoded content. Opaque to stores.
	Values []byte
}

// The optional powers of a store follow. Only the manager asks for them, by
// type assertion; [New] refuses a configuration that needs a power its store
// lacks, and a method of [Manager] that needs one answers
// [errors.ErrUnsupported]. A store that wraps another may have a method
// Unwrap() Store: powers that it lacks itself are then taken from the store
// inside.

// UserLister is a [Store] that can find the sessions of a user.
type UserLister interface {
	// ListUser returns the live records of user, in any order; Values may
	// be left out. It must miss no record whose Create or Update with this
	// user has returned.
	ListUser(ctx context.Context, user string) ([]Record, error)
}

// Lister is a [Store] that can go through all its sessions.
type Lister interface {
	// List yields the live records, in any order; Values may be left out.
	// Records that come or go meanwhile may be missed. The caller may use
	// the store before it asks for the next one. List yields an error at
	// most once, last.
	List(ctx context.Context) iter.Seq2[Record, error]
}

// Counter is a [Store] that knows how many live records it holds without
// going through them. Records that expired moments ago may be counted.
type Counter interface {
	Count(ctx context.Context) (int, error)
}

// Sweeper is a [Store] whose expired records stay until they are swept.
type Sweeper interface {
	// Sweep removes records with from <= ExpiresAt < to, in bounded batches
	// that hold up nobody for long, and returns how many. It is safe to run
	// on every node at once.
	Sweep(ctx context.Context, from, to time.Time) (int, error)
}

// Expirer is a [Store] that can remove a record once it has expired, and tells
// of every one that it removes: the events of ReasonIdle, ReasonAbsolute and
// ReasonSweep come from that.
type Expirer interface {
	// Expire removes the record of id if it has expired. A live one stays,
	// even if it was prolonged a moment ago. Nothing there is no error.
	Expire(ctx context.Context, id ID) error

	// NotifyExpired has fn called with each expired record that this store
	// removes from now on, until cancel is called. However many nodes try to
	// remove a record, fn is called on one of them, once. swept is false if a
	// call about this very ID removed it (Expire, Delete), and ctx is that
	// call's; swept is true if it was removed among others (by a sweep, or to
	// make room). Values may be left out. No lock of the store is held
	// meanwhile, so fn may use the store, but not close it. It may be called
	// from several goroutines at once.
	//
	// fn may miss an expired record that Create replaces, and one that is
	// removed at the moment when the process dies or its connection breaks.
	NotifyExpired(fn func(ctx context.Context, rec Record, swept bool)) (cancel func())
}

// VersionDeleter is a [Store] that can delete by compare-and-swap. The
// manager uses it to end a session that lost its last value; without it, it
// first marks the record as expired with an Update, then deletes it. It also uses
// it to end what is beyond [Config].MaxPerUser; without it, a session whose user
// logs in anew at that moment may end with the old login.
type VersionDeleter interface {
	// DeleteVersion removes the live record if its version is the given
	// one. ErrNotFound, ErrConflict.
	DeleteVersion(ctx context.Context, id ID, version uint64) error
}

// Locker is a [Store] that can give one caller at a time the exclusive use of
// an ID, for [Config].Exclusive.
type Locker interface {
	// Lock waits until the lock of id is free or ctx ends. The lock is
	// advisory: it holds nobody off the record, whose version is the fence.
	// Calling unlock again does nothing.
	Lock(ctx context.Context, id ID) (unlock func(), err error)
}

// Checker is a [Store] that can tell whether its engine is fit for it.
type Checker interface {
	// Check says what keeps the store from working, or nil. It changes
	// nothing.
	Check(ctx context.Context) error
}

// Migrator is a [Store] that needs a schema. Until the schema is there, its
// verbs fail, and so does its Check.
type Migrator interface {
	// Migrate adds what the schema lacks, and never changes or removes
	// anything. It may run on every node at once.
	Migrate(ctx context.Context) error
	// Drop removes the schema and all records. It is idempotent.
	Drop(ctx context.Context) error
}

// NonBlocking is a [Store] whose calls never wait for anything but a mutex.
// The manager then spends no timer on them, and the context that they are given
// may have ended already, which must stop none of them. This power is never
// taken from a wrapped store.
type NonBlocking interface {
	// NonBlocking reports whether that is so, with the configuration at hand.
	NonBlocking() bool
}

// ProcessLocal is a [Store] whose records die with the process. It may run
// without secrets: random ones are as good. Nothing but a manager writes its
// records, so the manager does not check the form of their values again; it
// does if the store is wrapped in one that is not ProcessLocal.
type ProcessLocal interface {
	ProcessLocal()
}

// Carrier is a [Store] whose records travel with the client, sealed into the
// cookie. The manager packs what it would have stored and seals it, encrypted;
// the verbs only keep account of what was revoked:
//
//   - Load always answers ErrNotFound: nothing is kept.
//   - Create and Touch do nothing.
//   - Update answers ErrNotFound if the generation of the record was ended.
//   - Delete ends all generations of an ID, or answers ErrNotRevocable. It
//     reports whether they were not all ended before.
type Carrier interface {
	Store

	// Pack encodes a record for the journey.
	Pack(rec Record) ([]byte, error)
	// Unpack decodes what Pack made and asks whether it was revoked.
	// ErrCorrupt; ErrNotFound, beside the record, if it was.
	Unpack(ctx context.Context, data []byte) (Record, error)
	// End revokes the generations of rec.ID up to and including generation,
	// atomically: ErrNotFound if this one had ended before, ErrNotRevocable
	// if the carrier keeps no account. The account is kept until rec.Horizon
	// at least, and until the latest that it was ever given for this ID,
	// whatever the answer; generation 0, which never was, only prolongs it.
	End(ctx context.Context, rec Record, generation uint64) error
}

// power finds an optional interface on the store or on one that it wraps.
func power[P any](s Store) (P, bool) {
	for s != nil {
		if p, ok := s.(P); ok {
			return p, true
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var none P
	return none, false
}
