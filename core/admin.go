package core

import (
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
	_, reason, err := m.fetch(ctx, id, m.now())
	return reason == "" && err == nil, err
}

// HasSession reports whether a request carries the cookie of a live session,
// without touching it; an expired one counts as none. In a handler behind the
// middleware, ask the session itself. An error means that the store failed.
func (m *Manager) HasSession(ctx context.Context, r *http.Request) (bool, error) {
	s := &Session{m: m, ctx: ctx, lines: m.receive(r), now: m.now()}
	if err := s.find(); err != nil {
		return false, err
	}
	return s.found, nil
}

// Load returns a session by its ID, for programs outside HTTP: workers,
// consoles. Change it and call [Session.Save]; there is no cookie, so it keeps
// its token. It never creates a session: ErrNotFound, ErrExpired, ErrCorrupt;
// [errors.ErrUnsupported] if sessions are cookie-only.
func (m *Manager) Load(ctx context.Context, id ID) (*Session, error) {
	if m.carrier != nil {
		return nil, unsupported("find a session by its ID", m.store)
	}
	s := &Session{m: m, ctx: ctx, free: true, phase: committed, loaded: true, now: m.now()}
	rec, reason, err := m.fetch(ctx, id, s.now)
	switch {
	case err != nil:
		return nil, err
	case reason == ReasonExpired:
		return nil, ErrExpired
	case reason == ReasonMalformed:
		return nil, ErrCorrupt
	case reason != "":
		return nil, ErrNotFound
	}
	s.rec, s.found, s.seen, s.returning, s.counted = rec, true, rec.Version, true, true
	return s, nil
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
// of it removes none.
func (m *Manager) Sweep(ctx context.Context) (int, error) {
	sweeper, ok := power[Sweeper](m.store)
	if !ok {
		return 0, nil
	}
	n, err := sweeper.Sweep(ctx, time.Time{}, m.now())
	if err != nil {
		return n, storeError("sweep", err)
	}
	return n, nil
}

func unsupported(what string, s Store) error {
	return fmt.Errorf("sessions: %T cannot %s: %w", s, what, errors.ErrUnsupported)
}
