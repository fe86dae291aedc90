// Package cookiestore keeps no sessions: each travels with its client, encrypted
// in the cookie, and any process with the secrets can open it.
//
//	secret, err := core.ParseSecret(os.Getenv("SESSION_SECRET")) // openssl rand -base64 32
//	...
//	sessions := core.MustNew(core.Config{
//		Store:   cookiestore.New(cookiestore.Config{}),
//		Secrets: []core.Secret{secret},
//	})
//
// It suits what is small and may be seen again in an older state: who is logged
// in to a service of low stakes, a language, a form half filled in, a login
// that another site has yet to confirm. There is nothing to run, to size or to
// back up, and no store that could be down.
//
// # Guarantees
//
// A cookie is a copy, and whoever has a copy can present it again. A list of
// [Revocations] on the server refuses copies of what was ended; nothing can
// merge what two requests wrote. What holds without and with a list:
//
//	                                              without  with
//	reading sets no cookie (but see 1)            yes      yes
//	no cookie before there is something to hold   yes      yes
//	content is hidden, and changes to it refused  yes      yes
//	idle and absolute limits hold on the server   yes      yes
//	all of a request's changes are made, or none  yes      yes
//	no success is sent for a change not made      yes      yes
//	a change that comes too late is an error      yes      yes
//	a login is safe from a planted cookie         yes      yes
//	after logout, a copy of the cookie is dead    NO (2)   yes
//	a request under way cannot undo a logout      NO       yes
//	after Login, Regenerate the old one is dead   NO (3)   yes
//	Manager.Revoke ends a session by its ID       NO (2)   yes
//	the client cannot go back to older data       NO       NO (4)
//	concurrent requests lose no update            NO       NO (5)
//	Key.Update is atomic, Key.Pop succeeds once   NO       NO
//	sessions can be listed, counted, by user too  NO       NO
//	more than a few kilobytes                     NO       NO (6)
//
// The numbers:
//
//  1. Once per Config.TouchInterval, reading sets the cookie anew, because the
//     time of the last access is in it; and once after a change of secrets.
//  2. [core.Session.Destroy] clears the cookie, and returns
//     [core.ErrNotRevocable]; so does Manager.Revoke, which does nothing. A copy
//     is accepted until its limits pass: keep Config.IdleTimeout and
//     Config.AbsoluteTimeout short.
//  3. It stays what it was: the cookie from before a login still opens a session
//     in which nobody is logged in. Of two logins at once both are valid.
//  4. Login and Regenerate end what is older. Between two of them, each cookie
//     that was ever set is accepted until its limits pass.
//  5. The browser keeps the cookie that arrives last, and with it only what that
//     request knew. Requests side by side should not both write.
//  6. Name and value of the cookie have at most 4096 bytes together: about
//     2,100 bytes of keys and encoded values with the default sealer, 2,900
//     with [core.AESGCM]. Beyond that the request fails with a
//     [*core.TooLargeError] and the cookie stays as it was.
//
// So keep no counter that matters in it, no flag that must hold once only, no
// balance, no one-time code, no number of failed attempts: the client can go
// back to the cookie of before. A flash message may appear twice.
//
// # Revocation
//
// With a list, every request that uses its session asks whether the session is
// over, and one that cannot be told is answered with an error: a list that is
// down logs nobody out and lets nobody in. The list has an entry for each
// session that was ended, or whose token or longest deadline changed, and none
// for the others. It is kept until the longest deadline that the session ever
// had, plus a minute for clocks that differ.
//
// [MemoryRevocations] is a list for one process. It forgets on restart: a
// cookie that was logged out before is then accepted again, until its limits
// pass. Several processes, or promises that must survive a restart, need a list
// in a database that they share.
package cookiestore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Config describes a [Store]. The zero value keeps no account of what was
// revoked.
type Config struct {
	// Revocations is the list of sessions that are over. Default: none, so
	// that a copy of a cookie outlives a logout, and Session.Destroy says so
	// with core.ErrNotRevocable.
	Revocations Revocations
	// Clock tells the time, of which only Delete needs any. Default:
	// time.Now.
	Clock func() time.Time
}

// Revocations is a list of sessions that are over: all that a cookie-only
// session needs a server for. It is safe for concurrent use, by several
// processes if it is shared.
//
// Every error means that the list could not be asked or written; the request
// then fails. Each call comes with a deadline (core.Config.StoreTimeout), and is
// not cut short by a client that hangs up. A list that never waits for anything
// but a mutex implements [core.NonBlocking], and is given neither.
type Revocations interface {
	// End records that the generations of id up to and including generation
	// are over, and reports whether this one was not before: of several
	// callers that end the same generation, exactly one is the first.
	// Generation 0 never was, so that it only prolongs until.
	//
	// The record may be dropped after until, not before. What is recorded
	// only grows: whatever End reports, the generation and until kept are
	// the highest ever given for id.
	End(ctx context.Context, id core.ID, generation uint64, until time.Time) (first bool, err error)

	// Ended returns the highest generation of id that is over, or 0 if none
	// is. It sees every End that has returned.
	Ended(ctx context.Context, id core.ID) (generation uint64, err error)
}

// AllGenerations is the generation that Revocations.End is given to end a
// session for good. It fits a signed column of 64 bits.
const AllGenerations uint64 = math.MaxInt64

// skew is how much longer than a session could live its revocation is kept:
// processes that share a list have clocks that differ.
const skew = time.Minute

// Store is a [core.Carrier]. Make one with [New]; it is safe for concurrent
// use. It needs core.Config.Secrets, the same in each process that shall open
// the cookies. core.Config.RotationGrace is not for it.
type Store struct {
	revocations Revocations // or nil
	clock       func() time.Time
}

var (
	_ core.Carrier     = (*Store)(nil)
	_ core.NonBlocking = (*Store)(nil)
)

// New returns a store.
func New(cfg Config) *Store {
	s := &Store{revocations: cfg.Revocations, clock: cfg.Clock}
	if s.clock == nil {
		s.clock = time.Now
	}
	return s
}

// Pack returns the record's stored form. The error is always nil.
func (s *Store) Pack(rec core.Record) ([]byte, error) { return rec.MarshalBinary() }

// Unpack returns the record that Pack was given: core.ErrCorrupt if data is
// nothing that Pack makes, core.ErrNotFound, beside the record, if it is over.
// The record's Values share memory with data.
func (s *Store) Unpack(ctx context.Context, data []byte) (core.Record, error) {
	var rec core.Record
	if err := rec.UnmarshalBinary(data); err != nil {
		return core.Record{}, err
	}
	if rec.Version == 0 || rec.Generation == 0 {
		return core.Record{}, fmt.Errorf("%w: it has no version", core.ErrCorrupt)
	}
	return rec, s.ask(ctx, rec)
}

// Update stores nothing. It answers core.ErrNotFound if the record's
// generation is over, so that no cookie is set for it.
func (s *Store) Update(ctx context.Context, rec core.Record) error { return s.ask(ctx, rec) }

// ask returns core.ErrNotFound if the record's generation is over.
func (s *Store) ask(ctx context.Context, rec core.Record) error {
	if s.revocations == nil {
		return nil
	}
	ended, err := s.revocations.Ended(ctx, rec.ID)
	switch {
	case err != nil:
		return failed("ask", err)
	case ended >= rec.Generation || ended >= AllGenerations:
		return core.ErrNotFound
	}
	return nil
}

// End records that the generations of rec.ID up to and including generation
// are over, for as long as a cookie of this session can live: rec.Horizon. It
// answers core.ErrNotFound if this generation was over before, and
// core.ErrNotRevocable without a list.
func (s *Store) End(ctx context.Context, rec core.Record, generation uint64) error {
	first, err := s.end(ctx, rec.ID, generation, rec.Horizon)
	if err == nil && !first {
		return core.ErrNotFound
	}
	return err
}

// Delete ends all generations of id and reports whether that was news. Since
// nothing is known of the session, that is kept on the list for
// core.MaxLifetime. Without a list it answers core.ErrNotRevocable.
func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	return s.end(ctx, id, AllGenerations, s.clock().Add(core.MaxLifetime))
}

func (s *Store) end(ctx context.Context, id core.ID, generation uint64, until time.Time) (first bool, err error) {
	if s.revocations == nil {
		return false, core.ErrNotRevocable
	}
	first, err = s.revocations.End(ctx, id, min(generation, AllGenerations), until.Add(skew))
	if err != nil {
		return false, failed("write", err)
	}
	return first, nil
}

// failed marks an error of the list as the failure that it is: one that wraps
// an answer, such as a list made of a core.Store may return by mistake, must
// not be taken for that answer, or a logout that failed would look like one
// that was done before.
func failed(verb string, err error) error {
	for _, answer := range []error{core.ErrNotFound, core.ErrExpired, core.ErrExists, core.ErrConflict, core.ErrCorrupt, core.ErrNotRevocable} {
		if errors.Is(err, answer) {
			return fmt.Errorf("cookiestore: cannot %s the revocation list: %v", verb, err)
		}
	}
	return fmt.Errorf("cookiestore: cannot %s the revocation list: %w", verb, err)
}

// Load answers core.ErrNotFound: nothing is kept.
func (s *Store) Load(context.Context, core.ID) (core.Record, error) {
	return core.Record{}, core.ErrNotFound
}

// Create does nothing: the cookie is the record.
func (s *Store) Create(context.Context, core.Record) error { return nil }

// Touch does nothing: an access time is moved by setting the cookie anew.
func (s *Store) Touch(context.Context, core.ID, time.Time, time.Time) error { return nil }

// NonBlocking reports whether no call waits for anything but a mutex, which
// depends on Config.Revocations; see [core.NonBlocking].
func (s *Store) NonBlocking() bool {
	if s.revocations == nil {
		return true
	}
	n, ok := s.revocations.(core.NonBlocking)
	return ok && n.NonBlocking()
}
