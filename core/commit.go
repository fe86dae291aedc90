package core

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// maxTries bounds how often an update is replayed. From the first
	// conflict on, requests of this process queue up, so that only other
	// processes compete.
	maxTries = 64
	// patience is how many conflicts pass before retries are spread out.
	patience = 4
	// maxCreates bounds the search for an unused ID, feature Q21.
	maxCreates = 8
)

// next returns the record as this request wants it.
func (s *Session) next() Record {
	r, m := s.rec, s.m
	if !s.found {
		r.CreatedAt = s.now
		r.IdleTimeout = m.idle
		r.Deadline = s.now.Add(m.absolute)
		r.Persistent = m.cookie.Persistent
	}
	if s.login {
		if r.User != "" && r.User != s.user {
			r.IdleTimeout, r.Deadline, r.Persistent = m.idle, time.Time{}, m.cookie.Persistent
		}
		// To log in is to re-authenticate: a new absolute lifetime begins
		// (NIST SP 800-63B 5.2), and "remember me" is not cut short.
		if fresh := s.now.Add(m.absolute); !r.Persistent || fresh.After(r.Deadline) {
			r.Deadline = fresh
		}
		r.User, r.LoginAt = s.user, s.now
	}
	if s.limits.idle != 0 {
		r.IdleTimeout = s.limits.idle
	}
	if !s.limits.deadline.IsZero() {
		r.Deadline = s.limits.deadline
	}
	r.Persistent = r.Persistent || s.limits.persistent
	if r.Deadline.After(r.Horizon) {
		r.Horizon = r.Deadline
	}
	if !s.free { // administration is no use of a session
		r.LastAccess = s.now
	}
	r.setExpiry()
	if m.count && !s.counted {
		r.Requests++
	}
	r.Values = content(r.Values).apply(s.changes, m.format)
	return r
}

// keeps reports whether the record holds information: without any there is
// nothing to store.
func (s *Session) keeps(r *Record) bool {
	if len(r.Values) == 0 && r.User == "" {
		return false
	}
	if !s.found && r.User == "" && !content(s.rec.Values).alters(s.changes) {
		return false // the first values are no information
	}
	if s.m.keep == nil {
		return true
	}
	keys := make([]string, 0, 8)
	for name := range content(r.Values).entries() {
		keys = append(keys, publicName(string(name)))
	}
	slices.Sort(keys)
	return s.m.keep(r.User, keys)
}

// dirty reports whether this request wants anything changed.
func (s *Session) dirty() bool {
	if !s.found {
		next := s.next()
		return s.keeps(&next)
	}
	if s.force || s.rotate || s.login || content(s.rec.Values).alters(s.changes) {
		return true
	}
	l := s.limits
	return l.idle != 0 && l.idle != s.rec.IdleTimeout ||
		!l.deadline.IsZero() && !l.deadline.Equal(s.rec.Deadline) ||
		l.persistent && !s.rec.Persistent
}

// commit brings this request's changes to the store, in one operation, and
// decides on the cookie. After an error nothing has changed, here or there.
// mu is held.
func (s *Session) commit() error {
	if !s.loaded || s.loadErr != nil {
		return s.err
	}
	s.flush("")
	if s.err != nil {
		return s.err
	}
	for try := 1; ; try++ {
		err := s.attempt()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrConflict) && try < maxTries:
			s.m.emit(s.ctx, Event{Kind: EventConflict, ID: s.rec.ID, User: s.rec.User})
			if try == 1 {
				defer s.m.wait(s.ctx, s.rec.ID)()
			}
			if try > patience {
				s.m.pause(s.ctx, try-patience)
			}
			err = s.reload()
		case errors.Is(err, ErrExists) && try < maxCreates:
			continue
		case errors.Is(err, ErrExists):
			return storeError("create", err) // no luck of that kind exists
		}
		if errors.Is(err, ErrNotFound) {
			if s.startOver() {
				continue
			}
			if s.found && !s.dirty() {
				return nil // nothing is lost but the count of this request
			}
			err = ErrGone
		}
		if errors.Is(err, ErrGone) && !s.gone { // a Save told already
			s.gone = true
			s.m.emit(s.ctx, Event{Kind: EventGone, ID: s.rec.ID, User: s.rec.User, Err: err})
		}
		if err != nil {
			return err
		}
	}
}

// attempt makes one try at a commit. ErrConflict and ErrNotFound are about
// the record, and not final.
func (s *Session) attempt() error {
	counts := s.m.count && !s.counted && (s.phase == open || s.m.carrier == nil)
	if s.found && !counts && !s.dirty() {
		if !s.free {
			s.refresh()
		}
		if len(s.ops) > 0 || s.limits != (limits{}) {
			s.settled() // what came to no change must not be done again later
		}
		return nil
	}
	if s.free {
		// A Touch leaves the version alone, so the update would undo one that
		// came since the load.
		if err := s.reload(); err != nil {
			return err
		}
	}
	s.now = s.m.now() // requests meanwhile may have stored a later access time than that of the load
	next := s.next()
	switch {
	case len(next.Values) > s.m.maxBytes:
		return &TooLargeError{What: "session", Size: len(next.Values), Limit: s.m.maxBytes}
	case len(s.changes) > 0 && content(next.Values).len() > maxKeys:
		return &TooLargeError{What: "keys", Size: content(next.Values).len(), Limit: maxKeys}
	case s.readOnly, s.m.carrier != nil && s.found && s.rec.expired(s.now): // which no store is there to refuse
		return ErrNotFound
	case s.m.disabled || s.request == nil && !s.free && !s.made || !s.found && (!s.keeps(&next) || next.expired(s.now)):
		return nil // there is nothing to store yet
	case !s.found:
		return s.create(next)
	case !s.keeps(&next):
		return s.removeEmpty()
	}
	return s.update(next)
}

func (s *Session) create(next Record) error {
	if s.phase != open {
		return s.late(ErrLate)
	}
	if s.login {
		if err := s.m.admit(s.ctx, &next); err != nil {
			return err
		}
	}
	next.ID, next.Version, next.Generation = newID(), 1, 1
	tok, line, err := s.issue(&next)
	if err != nil {
		return err
	}
	ctx, cancel := s.m.storeContext(s.ctx)
	defer cancel()
	if err := s.m.store.Create(ctx, next); err != nil {
		return answer("create", err, ErrExists, ErrFull)
	}
	login := s.login
	s.settle(next, tok)
	s.cookie, s.line, s.owed = setCookie, line, true
	s.m.emit(s.ctx, Event{Kind: EventCreated, ID: next.ID, User: next.User}) // last: OnEvent may panic
	if login {
		s.m.emit(s.ctx, Event{Kind: EventLogin, ID: next.ID, User: next.User})
		s.m.limitUser(s.ctx, &next)
	}
	return nil
}

func (s *Session) update(next Record) error {
	m, rotates := s.m, s.rotate || s.login
	tok, line := s.tok, ""
	next.Version++
	if s.now.After(next.PreviousUntil) {
		next.Previous, next.PreviousUntil = [32]byte{}, time.Time{}
	}
	sends := rotates || s.reseal || m.carrier != nil ||
		next.Persistent && (!s.rec.Persistent || !next.Deadline.Equal(s.rec.Deadline))
	sends = sends && !s.free
	if s.login {
		if err := m.admit(s.ctx, &next); err != nil {
			return err
		}
	}
	if sends && s.phase != open {
		if rotates || m.carrier != nil {
			return s.late(ErrLate)
		}
		sends = false
	}
	if rotates {
		next.Generation++
		next.Previous, next.PreviousUntil = [32]byte{}, time.Time{}
		if m.grace > 0 && !s.login {
			next.Previous, next.PreviousUntil = s.rec.Proof, s.now.Add(m.grace)
		}
	}
	if sends {
		var err error
		if rotates {
			tok, line, err = s.issue(&next)
		} else {
			line, err = s.sealed(&next, tok)
		}
		if err != nil {
			return err
		}
	}
	ctx, cancel := m.storeContext(s.ctx)
	defer cancel()
	var err error
	if m.carrier != nil {
		err = s.carry(ctx, next)
	} else {
		err = m.store.Update(ctx, next)
	}
	if err != nil {
		return answer("update", err, ErrConflict, ErrNotFound, ErrFull)
	}
	kind := EventSaved
	if s.rec.Version != s.seen {
		kind = EventMerged
	}
	login := s.login
	s.settle(next, tok)
	if sends {
		s.cookie, s.line, s.owed = setCookie, line, true
	}
	m.emit(s.ctx, Event{Kind: kind, ID: next.ID, User: next.User}) // last: OnEvent may panic
	switch {
	case login:
		m.emit(s.ctx, Event{Kind: EventLogin, ID: next.ID, User: next.User})
		m.limitUser(s.ctx, &next)
	case rotates:
		m.emit(s.ctx, Event{Kind: EventRegenerated, ID: next.ID, User: next.User})
	}
	return nil
}

// carry does for a carrier what Update does for a store that keeps records.
func (s *Session) carry(ctx context.Context, next Record) error {
	carrier := s.m.carrier
	if next.Generation > s.rec.Generation {
		// The one step that ends the old cookie. Without a revocation list
		// it stays valid beside the new one, as the store's page says.
		err := carrier.End(ctx, next, s.rec.Generation)
		if errors.Is(err, ErrNotRevocable) {
			err = nil
		}
		return err
	}
	if next.Horizon.After(s.rec.Horizon) {
		// The session may be ended by a copy of its cookie that knows of the
		// shorter life only. The account has to outlast the longest.
		err := carrier.End(ctx, next, s.rec.Generation-1)
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNotRevocable) {
			return err
		}
	}
	return s.m.store.Update(ctx, next)
}

// removeEmpty ends a session that lost its last value. It deletes only what
// it has seen: a value that another request adds meanwhile is a conflict.
func (s *Session) removeEmpty() error {
	m := s.m
	ctx, cancel := m.storeContext(s.ctx)
	defer cancel()
	var err error
	switch {
	case m.carrier != nil:
		if s.phase != open {
			return s.late(ErrLate)
		}
		if err = m.carrier.End(ctx, s.rec, s.rec.Generation); errors.Is(err, ErrNotRevocable) {
			err = nil
		}
	case m.deleter != nil:
		err = m.deleteVersion(s.ctx, s.rec)
	default:
		dead := s.rec
		dead.Version++
		dead.Values, dead.User, dead.Deadline, dead.ExpiresAt = nil, "", s.now, s.now
		dead.IdleTimeout = 0 // see Manager.expired
		if err = m.store.Update(ctx, dead); err == nil {
			// It is over; what is left of it will be swept if this fails.
			m.store.Delete(ctx, s.rec.ID)
		}
	}
	if err != nil {
		return answer("delete", err, ErrConflict, ErrNotFound)
	}
	s.cookie, s.line = clearCookie, ""
	defer m.emit(s.ctx, Event{Kind: EventDestroyed, ID: s.rec.ID, User: s.rec.User, Reason: ReasonEmptied}) // last: OnEvent may panic
	s.forget()
	return nil
}

// refresh does what a request that changed nothing owes: now and then a new
// access time, and a new seal if an old secret made this one. It never fails
// the request.
func (s *Session) refresh() {
	m := s.m
	due := m.wantsTouch(&s.rec, s.now) && !s.readOnly
	if !due && !s.reseal || m.carrier != nil && s.rec.expired(s.now) {
		return // almost always
	}
	ctx, cancel := m.storeContext(s.ctx)
	defer cancel()
	next := s.rec
	if due {
		next.LastAccess = s.now
		next.setExpiry()
	}
	switch {
	case m.carrier != nil:
		if s.phase != open {
			return
		}
		next.Version++
		line, err := s.sealed(&next, s.tok)
		if err == nil {
			err = m.store.Update(ctx, next)
		}
		if err != nil {
			s.touchFailed(err)
			return
		}
		s.cookie, s.line, s.reseal = setCookie, line, false
	case due:
		if err := m.store.Touch(ctx, next.ID, next.LastAccess, next.ExpiresAt); err != nil {
			s.touchFailed(err)
			return
		}
	}
	s.rec = next
	if m.carrier == nil && s.reseal && s.phase == open {
		// If the token was replaced meanwhile, the browser may already have
		// the new one: do not send it the old.
		var now Record
		reason, err := m.fetch(s.ctx, s.rec.ID, s.now, &now)
		if err == nil && reason == "" && s.tok.proves(&now.Proof) {
			if line, err := s.sealed(&s.rec, s.tok); err == nil {
				s.cookie, s.line, s.reseal = setCookie, line, false
			}
		}
	}
}

func (s *Session) touchFailed(err error) {
	if !errors.Is(err, ErrNotFound) {
		s.m.emit(s.ctx, Event{Kind: EventTouchFailed, ID: s.rec.ID, User: s.rec.User, Err: storeError("touch", err)})
	}
}

// issue gives the record a new token and returns that with its cookie line.
func (s *Session) issue(r *Record) (token, string, error) {
	tok := newToken(r.ID)
	if s.m.carrier == nil {
		r.Proof = tok.hash()
	}
	line, err := s.sealed(r, tok)
	return tok, line, err
}

// sealed returns the cookie line of a record.
func (s *Session) sealed(r *Record, tok token) (string, error) {
	plain, buf := append(s.scratch[:0], tok[:]...), s.scratch[len(tok):len(tok)]
	if s.m.carrier != nil {
		var err error
		if plain, err = s.m.carrier.Pack(*r); err != nil {
			return "", err
		}
	}
	value, err := s.m.sealer.Seal(buf, plain)
	if err != nil {
		return "", err
	}
	s.life = 0
	if r.Persistent {
		s.life = max(r.Deadline.Sub(s.now), time.Second)
	}
	if s.m.transport != nil {
		return string(value), nil
	}
	return s.m.cookieLine(value, s.life, s.path), nil
}

// settle makes what was stored the new ground to stand on.
func (s *Session) settle(next Record, tok token) {
	s.settled()
	s.rec, s.tok, s.found, s.seen = next, tok, true, next.Version
	s.reseal, s.counted = false, true
}

// settled drops the changes, since they are made. Values in the handler's hands
// are watched on.
func (s *Session) settled() {
	lives := s.lives
	s.discard()
	s.lives = lives
}

// reload fetches the record anew after a conflict and replays this request's
// operations on it. ErrNotFound means that the session is not this request's
// any more: it ended, or its token was replaced. ErrConflict means that this
// request had lost the session to another.
func (s *Session) reload() error {
	var rec Record
	reason, err := s.m.fetch(s.ctx, s.rec.ID, s.m.now(), &rec)
	if err != nil {
		return err
	}
	if reason != "" || !s.free && !s.tok.proves(&rec.Proof) {
		return ErrNotFound
	}
	// In exclusive mode nobody changes the values meanwhile, unless the lock was
	// lost: then what this request made of the old ones must not be stored.
	if s.unlock != nil && len(s.ops) > 0 && !bytes.Equal(rec.Values, s.rec.Values) {
		return ErrConflict
	}
	stood, done := s.rec, false
	defer func() {
		if !done {
			s.rec = stood
		}
	}()
	s.rec = rec
	err = s.replay(false)
	done = err == nil
	return err
}

// replay performs the operations again. A value that this request popped and
// that is no longer there went to another. After an error, or a panic of a
// function of Key.Update, the changes are as before: half of them must not pass at
// the next Save.
func (s *Session) replay(lenient bool) error {
	stood, done := s.changes, false
	defer func() {
		if !done {
			s.changes = stood
		}
	}()
	s.changes = nil
	for _, o := range s.ops {
		err := s.perform(o)
		if errors.Is(err, errTaken) {
			if lenient {
				continue
			}
			return fmt.Errorf("%w: %w", ErrGone, errTaken)
		}
		if err != nil {
			return s.fail(err)
		}
	}
	// A value handed out earlier is still watched, but the next Get is to see
	// what is there now.
	for i := range s.lives {
		l := &s.lives[i]
		now, had := s.raw(l.name)
		l.stale = !had || !bytes.Equal(now, l.data)
	}
	done = true
	return nil
}

// startOver begins a new session for a login whose old one is gone: a login
// owes nothing to what was there before. It reports whether that applies.
func (s *Session) startOver() bool {
	if !s.login || s.free || s.phase != open {
		return false
	}
	s.found, s.readOnly, s.reseal, s.rotate = false, false, false, false
	s.tok = token{}
	s.blank()
	return s.replay(true) == nil
}

// admit refuses a login if its user has all the sessions that are allowed. Where
// the oldest ends instead, it makes this one the latest: logins of the same
// millisecond, or by the clock of a node that is ahead, came before it.
func (m *Manager) admit(ctx context.Context, next *Record) error {
	if m.maxPerUser == 0 {
		return nil
	}
	recs, err := m.userRecords(ctx, next.User)
	if err != nil {
		if !m.refuse {
			err = nil // limitUser will meet it too, and tell
		}
		return err
	}
	n, now := 0, next.LoginAt
	for i := range recs {
		if recs[i].ID == next.ID {
			continue
		}
		n++
		if at := recs[i].LoginAt; !at.Before(next.LoginAt) && at.Sub(now) < maxSkew {
			next.LoginAt = at.Add(time.Millisecond)
		}
	}
	if m.refuse && n >= m.maxPerUser {
		return fmt.Errorf("%w: %d of at most %d", ErrTooManySessions, n, m.maxPerUser)
	}
	return nil
}

// limitUser ends the oldest sessions of a user who has just logged in, if they
// are too many now. Every node that does so at once comes to the same victims.
// The login is stored: a failure here is left to the next one.
func (m *Manager) limitUser(ctx context.Context, own *Record) {
	if m.maxPerUser == 0 {
		return
	}
	recs, err := m.userRecords(ctx, own.User)
	if err != nil {
		m.emit(ctx, Event{Kind: EventLimitFailed, ID: own.ID, User: own.User, Err: err})
		return
	}
	slices.SortFunc(recs, func(a, b Record) int {
		return cmp.Or(a.LoginAt.Compare(b.LoginAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	for i := range max(len(recs)-m.maxPerUser, 0) {
		if err := m.evict(ctx, recs[i]); err != nil {
			m.emit(ctx, Event{Kind: EventLimitFailed, ID: recs[i].ID, User: own.User, Err: err})
		}
	}
}

// evict ends a session that is one too many, unless its user has logged in with
// it anew meanwhile: that login has seen the others, and ended the oldest.
func (m *Manager) evict(ctx context.Context, rec Record) error {
	if m.deleter == nil {
		_, err := m.end(ctx, rec, ReasonLimit)
		return err
	}
	for try := 1; ; try++ {
		err := m.deleteVersion(ctx, rec)
		switch {
		case err == nil:
			m.ended(ctx, rec, ReasonLimit, true, nil)
			return nil
		case errors.Is(err, ErrNotFound):
			return nil
		case !errors.Is(err, ErrConflict) || try == maxTries:
			return storeError("delete", err)
		}
		var now Record
		reason, err := m.fetch(ctx, rec.ID, m.now(), &now)
		if err != nil || reason != "" || !now.LoginAt.Equal(rec.LoginAt) {
			return err
		}
		rec.Version = now.Version
	}
}

func (m *Manager) deleteVersion(ctx context.Context, rec Record) error {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	return m.deleter.DeleteVersion(ctx, rec.ID, rec.Version)
}

// wait queues the requests of this process that compete for a session, so
// that each retry has only those of other processes against it.
func (m *Manager) wait(ctx context.Context, id ID) (release func()) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	slot := m.queue[int(id[0])%len(m.queue)]
	select {
	case slot <- struct{}{}:
		return func() { <-slot }
	case <-ctx.Done():
		return func() {}
	}
}

// pause spreads retries against other processes out.
func (m *Manager) pause(ctx context.Context, n int) {
	d := time.Duration(rand.Int64N(int64(time.Millisecond) << min(n, 5)))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// end deletes a session, whatever its version, and reports that.
func (m *Manager) end(ctx context.Context, rec Record, why Reason) (existed bool, err error) {
	existed, err = m.remove(ctx, rec)
	m.ended(ctx, rec, why, existed, err)
	return existed, err
}

// remove deletes a session, whatever its version, and tells whether it was there.
func (m *Manager) remove(ctx context.Context, rec Record) (existed bool, err error) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	if m.carrier != nil && !rec.Horizon.IsZero() {
		err = m.carrier.End(ctx, rec, math.MaxUint64)
		existed = err == nil
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
	} else {
		existed, err = m.store.Delete(ctx, rec.ID)
	}
	if err != nil && !errors.Is(err, ErrNotRevocable) {
		return false, storeError("delete", err)
	}
	return existed, err
}

// ended reports what remove did.
func (m *Manager) ended(ctx context.Context, rec Record, why Reason, existed bool, err error) {
	// A logout that cannot be revoked has ended the session in this browser.
	if existed || errors.Is(err, ErrNotRevocable) && why == ReasonLogout {
		m.emit(ctx, Event{Kind: EventDestroyed, ID: rec.ID, User: rec.User, Reason: why})
	}
}

// answer passes the sentinels that a verb may give, with what the store has to
// say beside, and marks every other error as a failure of the engine.
func answer(verb string, err error, sentinels ...error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return err
		}
	}
	return storeError(verb, err)
}
