package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"time"
)

// Info is what can be told about a session without opening it.
type Info struct {
	ID         ID
	User       string
	CreatedAt  time.Time
	LoginAt    time.Time
	LastAccess time.Time // to the resolution of Config.TouchInterval
	ExpiresAt  time.Time // if it is not used again
	Deadline   time.Time // however busy it is
	Requests   uint64    // if Config.CountRequests is set
}

func info(r Record) Info {
	return Info{r.ID, r.User, r.CreatedAt, r.LoginAt, r.LastAccess, r.ExpiresAt, r.Deadline, r.Requests}
}

// Exists reports whether a session is live, without touching it. An error
// means that the store failed, never that the session is absent;
// [errors.ErrUnsupported] if sessions are cookie-only.
func (m *Manager) Exists(ctx context.Context, id ID) (bool, error) {
	if m.carrier != nil {
		return false, unsupported("find a session by its ID", m.store)
	}
	var rec Record
	reason, err := m.fetch(ctx, id, m.now(), &rec)
	return reason == "" && err == nil, err
}

// HasSession reports whether a request carries the cookie of a live session,
// without touching it; an expired one counts as none. In a handler behind the
// middleware, ask the session itself. An error means that the store failed.
func (m *Manager) HasSession(ctx context.Context, r *http.Request) (bool, error) {
	s := &Session{m: m, ctx: ctx, lines: m.receive(r), state: &state{now: m.now()}}
	if err := s.find(); err != nil {
		return false, err
	}
	return s.found, nil
}

// Valid tells the state of a session, without touching it: nil if it is live,
// ErrExpired if it reached a limit and its record is still there, ErrNotFound,
// ErrCorrupt; [errors.ErrUnsupported] if sessions are cookie-only. Any other
// error wraps [ErrUnavailable].
func (m *Manager) Valid(ctx context.Context, id ID) error {
	_, err := m.live(ctx, id, m.now())
	return err
}

// New returns an empty session outside HTTP, for programs that log a client in
// by other means: a remote procedure, a link in a mail. It is a session like
// that of a first request, but no hook of a request runs, Config.Init neither.
// Fill it, give it limits of its own with [Session.SetExpiry] or
// [Session.SetIdleTimeout] if it needs any, and call [Session.Save]: then it is
// stored, if it holds anything and its limits have not passed, and
// [Session.Cookie] returns what the client has to present. Where the path of
// cookies follows the mount, see [CookieConfig], that of this one is "/".
//
// It may be saved again beside its client, of whose changes it sees those that
// a Save of its own has met, and needs no closing. It takes no lock in
// exclusive mode.
func (m *Manager) New(ctx context.Context) *Session {
	return &Session{m: m, ctx: ctx, made: true, path: cmp.Or(m.cookie.Path, "/"), loaded: true, state: &state{now: m.now(), counted: true}}
}

// Load returns a session by its ID, for programs outside HTTP: workers,
// consoles. Change it and call [Session.Save]; there is no cookie, so it keeps
// its token. Neither counts as a use of the session, so its idle limit runs on.
// Load never creates a session: its errors are those of [Manager.Valid].
func (m *Manager) Load(ctx context.Context, id ID) (*Session, error) {
	s := &Session{m: m, ctx: ctx, free: true, phase: committed, loaded: true, state: &state{now: m.now()}}
	rec, err := m.live(ctx, id, s.now)
	if err != nil {
		return nil, err
	}
	s.rec, s.found, s.seen, s.returning, s.counted = rec, true, rec.Version, true, true
	return s, nil
}

// live returns the record of a live session, or the error that says why there
// is none.
func (m *Manager) live(ctx context.Context, id ID, now time.Time) (Record, error) {
	if m.carrier != nil {
		return Record{}, unsupported("find a session by its ID", m.store)
	}
	var rec Record
	reason, err := m.fetch(ctx, id, now, &rec)
	switch {
	case err != nil:
	case reason == ReasonExpired:
		err = ErrExpired
	case reason == ReasonMalformed:
		err = ErrCorrupt
	case reason != "":
		err = ErrNotFound
	}
	return rec, err
}

// SetExpiry moves the absolute limit of a live session to t, at most
// MaxLifetime from now; it does not count as a use of the session. A time that
// is not in the future ends it, as [Manager.Revoke] does. It never brings an
// expired session back: its errors are those of [Manager.Valid], and
// [ErrConflict]. The browser keeps a persistent cookie as long as it was told
// when that was set.
func (m *Manager) SetExpiry(ctx context.Context, id ID, t time.Time) error {
	for try := 1; ; try++ {
		now := m.now()
		rec, err := m.live(ctx, id, now)
		if err != nil {
			return err
		}
		if t = instant(t); !t.After(now) {
			existed, err := m.end(ctx, rec, ReasonRevoke)
			if err == nil && !existed {
				err = ErrNotFound
			}
			return err
		}
		rec.Version++
		if rec.Deadline = t; t.After(now.Add(MaxLifetime)) {
			rec.Deadline = now.Add(MaxLifetime)
		}
		if rec.Deadline.After(rec.Horizon) {
			rec.Horizon = rec.Deadline
		}
		rec.setExpiry()
		err = m.replace(ctx, rec)
		if err == nil {
			m.emit(ctx, Event{Kind: EventSaved, ID: id, User: rec.User})
		}
		if !errors.Is(err, ErrConflict) || try == maxTries {
			return err
		}
		if try > patience {
			m.pause(ctx, try-patience)
		}
	}
}

// replace is one Update of a record.
func (m *Manager) replace(ctx context.Context, rec Record) error {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	if err := m.store.Update(ctx, rec); err != nil {
		return answer("update", err, ErrConflict, ErrNotFound, ErrFull)
	}
	return nil
}

// Revoke ends a session, wherever it is in use, and reports whether it was
// live. Requests under way with it can read on, but not save. A cookie-only
// store without a revocation list answers [ErrNotRevocable].
func (m *Manager) Revoke(ctx context.Context, id ID) (existed bool, err error) {
	return m.end(ctx, Record{ID: id}, ReasonRevoke)
}

// UserSessions returns the live sessions of a user, the latest login first. It
// needs a store that can list by user: [errors.ErrUnsupported].
func (m *Manager) UserSessions(ctx context.Context, user string) ([]Info, error) {
	recs, err := m.userRecords(ctx, user)
	if err != nil {
		return nil, err
	}
	out := make([]Info, len(recs))
	for i, rec := range recs {
		out[i] = info(rec)
	}
	slices.SortFunc(out, func(a, b Info) int {
		if c := b.LoginAt.Compare(a.LoginAt); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out, nil
}

func (m *Manager) userRecords(ctx context.Context, user string) ([]Record, error) {
	lister, ok := power[UserLister](m.store)
	if !ok {
		return nil, unsupported("list sessions by user", m.store)
	}
	if user == "" {
		return nil, nil
	}
	sctx, cancel := m.storeContext(ctx)
	defer cancel()
	recs, err := lister.ListUser(sctx, user)
	if err != nil {
		return nil, storeError("list user", err)
	}
	now := m.now()
	return slices.DeleteFunc(slices.Clone(recs), func(r Record) bool { return r.User != user || r.expired(now) }), nil
}

// RevokeUser ends all sessions of a user, except those named, and returns how
// many it ended: "log out everywhere". It needs a store that can list by user:
// [errors.ErrUnsupported].
func (m *Manager) RevokeUser(ctx context.Context, user string, except ...ID) (int, error) {
	recs, err := m.userRecords(ctx, user)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, rec := range recs {
		if slices.Contains(except, rec.ID) {
			continue
		}
		existed, err := m.end(ctx, rec, ReasonRevoke)
		if err != nil {
			return n, err
		}
		if existed {
			n++
		}
	}
	return n, nil
}

// Sessions goes through all live sessions, in no order; those that come or go
// meanwhile may be missed. It yields an error at most once, last:
// [errors.ErrUnsupported] if the store cannot list.
func (m *Manager) Sessions(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		lister, ok := power[Lister](m.store)
		if !ok {
			yield(Info{}, unsupported("list sessions", m.store))
			return
		}
		now := m.now()
		for rec, err := range lister.List(ctx) {
			if err != nil {
				yield(Info{}, storeError("list", err))
				return
			}
			if !rec.expired(now) && !yield(info(rec), nil) {
				return
			}
		}
	}
}

// Count returns how many sessions are live; some that expired moments ago may
// be counted. [errors.ErrUnsupported] if the store cannot count.
func (m *Manager) Count(ctx context.Context) (int, error) {
	counter, ok := power[Counter](m.store)
	if !ok {
		return 0, unsupported("count sessions", m.store)
	}
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	n, err := counter.Count(ctx)
	if err != nil {
		return 0, storeError("count", err)
	}
	return n, nil
}

// Sweep removes the records of sessions that have expired and returns how
// many. Expired sessions are never served, swept or not. A store without need
// of it removes none. See also package core/sweep.
func (m *Manager) Sweep(ctx context.Context) (int, error) {
	return m.sweep(ctx, time.Time{}, m.now())
}

// SweepBetween is [Manager.Sweep] for the sessions that expired at from or
// later and before to. A to in the future is an error, and nothing is removed:
// no live session is ever swept.
func (m *Manager) SweepBetween(ctx context.Context, from, to time.Time) (int, error) {
	if ahead := to.Sub(m.clock()); ahead > 0 {
		return 0, fmt.Errorf("sessions: SweepBetween up to %v from now would remove live sessions; use Revoke to end them", ahead)
	}
	return m.sweep(ctx, from, to)
}

func (m *Manager) sweep(ctx context.Context, from, to time.Time) (int, error) {
	sweeper, ok := power[Sweeper](m.store)
	if !ok {
		return 0, nil
	}
	n, err := sweeper.Sweep(ctx, from, to)
	if err != nil {
		return n, storeError("sweep", err)
	}
	return n, nil
}

// Check reports what keeps the store from working: a schema that lacks
// something, a server that is too old or set up to lose sessions. It changes
// nothing. A store that has nothing to check is fit. The error is the store's
// own, as those of Migrate and Drop are: to try again later may not help, so it
// is not [ErrUnavailable].
func (m *Manager) Check(ctx context.Context) error {
	if c, ok := power[Checker](m.store); ok {
		return c.Check(ctx)
	}
	return nil
}

// Migrate adds what the store's schema lacks. It removes and changes nothing,
// so it may run at every start, on all nodes at once. It does nothing for a
// store without a schema. It is bounded by ctx alone: on a large table an index
// takes its time.
func (m *Manager) Migrate(ctx context.Context) error {
	if s, ok := power[Migrator](m.store); ok {
		return s.Migrate(ctx)
	}
	return nil
}

// Drop removes the store's schema and every session in it. It is no error if
// nothing is there; [errors.ErrUnsupported] for a store without a schema.
func (m *Manager) Drop(ctx context.Context) error {
	s, ok := power[Migrator](m.store)
	if !ok {
		return unsupported("drop its schema: it has none", m.store)
	}
	return s.Drop(ctx)
}

func unsupported(what string, s Store) error {
	return fmt.Errorf("sessions: %T cannot %s: %w", s, what, errors.ErrUnsupported)
}
