package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// load finds the session of the presented cookies, once. mu is held.
func (s *Session) load() {
	if s.loaded {
		return
	}
	if s.state == nil {
		s.state = states.Get().(*state)
	}
	s.now = s.m.now()
	if s.found { // by a load that panicked
		s.found, s.candidate = false, candidate{}
	}
	var err error
	if !s.m.disabled {
		err = s.find()
	}
	if err == nil && s.found && s.m.exclusive {
		err = s.acquire()
	}
	switch {
	case err != nil:
		s.found, s.reason = false, "" // another cookie's: this one was not refused
		s.loadErr = s.fail(err)
		s.m.emit(s.ctx, Event{Kind: EventLoadFailed, Err: err})
	case s.found:
		s.m.emit(s.ctx, Event{Kind: EventLoaded, ID: s.rec.ID, User: s.rec.User})
	case s.reason == ReasonExpired:
		s.m.emit(s.ctx, Event{Kind: EventExpired, ID: s.rec.ID, Reason: s.reason})
		s.m.expire(s.ctx, s.rec.ID)
	case s.reason != "":
		s.m.emit(s.ctx, Event{Kind: EventRejected, ID: s.rec.ID, Reason: s.reason})
	}
	if !s.found {
		s.blank()
	}
	s.loaded = true // not before: a store that panics has not said "not found", and Config.Init has set nothing
}

// blank makes the record that of a session that is not stored, with the first
// values that the application gives it.
func (s *Session) blank() {
	s.rec = Record{}
	if s.m.init == nil || s.request == nil || s.loadErr != nil {
		return
	}
	if !s.inited {
		draft := &Session{m: s.m, ctx: s.ctx, loaded: true, state: &state{now: s.now}}
		// Init may find its session in the context as a handler does.
		r := s.request.WithContext(unaware{s.request.Context(), s, draft})
		s.m.init(r, draft)
		if r.Form != nil && s.request.Form == nil { // a body can be parsed once only
			s.request.Form, s.request.PostForm, s.request.MultipartForm = r.Form, r.PostForm, r.MultipartForm
		}
		draft.flush("")
		draft.phase = ended
		if draft.err != nil {
			s.fail(draft.err)
			return
		}
		s.first, s.inited = content(nil).apply(draft.changes, s.m.format), true
	}
	s.rec.Values = s.first
}

// receive returns where a request's token is: the lines of its Cookie header,
// or what the transport found.
func (m *Manager) receive(r *http.Request) []string {
	if m.transport != nil {
		return m.transport.Receive(r)
	}
	return r.Header["Cookie"]
}

// presented goes through the values that a request presents.
func (m *Manager) presented(lines []string, yield func(value string) bool) {
	if m.transport == nil {
		findCookies(lines, m.cookie.Name, yield)
		return
	}
	for _, value := range lines {
		if value != "" && !yield(value) { // "" is what took it back
			return
		}
	}
}

// candidate is a session that a cookie opens.
type candidate struct {
	rec      Record
	tok      token
	readOnly bool      // the cookie was the one before the last rotation
	reseal   bool      // the cookie was sealed with an old secret
	scratch  [120]byte // to seal and open a token in, without an allocation; see gcmSealer.Open
}

// find tries every cookie of the name: junk that somebody planted beside the
// right one must not lock the user out, and of two different valid ones
// neither can be trusted, since one may have been planted.
func (s *Session) find() error {
	var (
		err   error
		tries int
		extra []Record
		told  ID // for the event, if no session is found
	)
	s.m.presented(s.lines, func(value string) bool {
		if tries++; tries > maxCandidates {
			return false
		}
		c := &s.candidate // the first is mostly the only one, so it needs no copy
		if s.found {
			c = new(candidate)
		}
		var reason Reason
		if reason, err = s.m.open(s.ctx, value, s.now, c); err != nil {
			return false
		}
		switch {
		case reason != "":
			if reason.rank() > s.reason.rank() {
				s.reason, told = reason, c.rec.ID
			}
			*c = candidate{}
		case !s.found:
			s.found = true
		case c.rec.ID == s.rec.ID && s.m.carrier == nil:
			switch {
			case s.readOnly && !c.readOnly, c.rec.Generation > s.rec.Generation:
				s.candidate = *c // a rotation between two loads makes the second the one to trust
			case s.readOnly == c.readOnly: // one token, sealed twice
				s.reseal = s.reseal && c.reseal
			}
		case c.rec.ID == s.rec.ID:
			// Copies of one cookie-only session: the newest counts.
			if cmp.Or(cmp.Compare(c.rec.Generation, s.rec.Generation), cmp.Compare(c.rec.Version, s.rec.Version)) > 0 {
				s.candidate = *c
			}
		default:
			extra = append(extra, c.rec)
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(extra) > 0 {
		s.rivals = append(extra, s.rec)
		s.found, s.candidate, s.reason, told = false, candidate{}, ReasonDuplicate, ID{}
	}
	if s.found {
		s.reason, s.returning, s.seen = "", true, s.rec.Version
	} else {
		s.rec.ID = told
	}
	return nil
}

// rank orders reasons: with several refused cookies the most telling counts.
func (r Reason) rank() int {
	switch r {
	case "":
		return 0
	case ReasonMalformed:
		return 1
	case ReasonSeal:
		return 2
	case ReasonUnknown:
		return 3
	}
	return 4
}

// open turns a cookie's value into a session: seal first, store second, so
// that junk never reaches the store. An error means that the store failed.
func (m *Manager) open(ctx context.Context, value string, now time.Time, c *candidate) (reason Reason, err error) {
	if value == "" || len(value) > maxCookie {
		return ReasonMalformed, nil
	}
	if m.carrier != nil {
		return m.openCarried(ctx, value, now, c)
	}
	plain, old, err := m.sealer.Open(c.scratch[:0], value)
	if err != nil {
		return unsealed(value), nil
	}
	if len(plain) != len(c.tok) {
		return ReasonMalformed, nil
	}
	copy(c.tok[:], plain)
	reason, err = m.fetch(ctx, c.tok.id(), now, &c.rec)
	if reason != "" || err != nil {
		return reason, err
	}
	if c.tok.proves(&c.rec.Proof) {
		c.reseal = old
		return "", nil
	}
	if now.Before(c.rec.PreviousUntil) && c.tok.proves(&c.rec.Previous) {
		c.readOnly = true
		return "", nil
	}
	return ReasonRotated, nil
}

// fetch loads a record and judges it. The reason says why it is as good as
// absent; an error means that the store failed.
func (m *Manager) fetch(ctx context.Context, id ID, now time.Time, rec *Record) (reason Reason, err error) {
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	*rec, err = m.store.Load(ctx, id)
	reason, err = m.judge(rec, err, now)
	if rec.ID.IsZero() {
		rec.ID = id // for the event
	}
	return reason, err
}

// judge sorts the answer of a Load or Unpack.
func (m *Manager) judge(rec *Record, err error, now time.Time) (Reason, error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrNotFound):
		return ReasonUnknown, nil
	case errors.Is(err, ErrExpired):
		return ReasonExpired, nil
	case errors.Is(err, ErrCorrupt):
		return ReasonMalformed, nil
	default:
		return "", storeError("load", err)
	}
	if rec.expired(now) {
		return ReasonExpired, nil
	}
	values := content(rec.Values)
	if m.faithful {
		values = values[:min(1, len(values))] // the codec may be another than before a restart
	}
	if values.check(m.format) != nil {
		return ReasonMalformed, nil
	}
	return "", nil
}

func (m *Manager) openCarried(ctx context.Context, value string, now time.Time, c *candidate) (reason Reason, err error) {
	plain, old, err := m.sealer.Open(nil, value)
	if err != nil {
		return unsealed(value), nil
	}
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	c.rec, err = m.carrier.Unpack(ctx, plain)
	if errors.Is(err, ErrNotFound) {
		return ReasonRevoked, nil
	}
	reason, err = m.judge(&c.rec, err, now)
	if reason == "" && err == nil && (c.rec.CreatedAt.After(now.Add(maxSkew)) || c.rec.LastAccess.After(now.Add(maxSkew))) {
		reason = ReasonMalformed
	}
	c.reseal = old
	return reason, err
}

// unsealed says why no sealer opened a value: one with bytes outside the
// alphabet of sealed values was never one. Only a refused value is looked
// through for that.
func unsealed(value string) Reason {
	for i := range len(value) {
		if octets[value[i]]&sealOctet == 0 {
			return ReasonMalformed
		}
	}
	return ReasonSeal
}

// acquire waits for exclusive use of the session that was found, then looks at
// it again.
func (s *Session) acquire() error {
	if s.unlock != nil { // a load that panicked left it; waiting for ourselves would be in vain
		s.unlock()
		s.unlock = nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.m.lockTimeout)
	defer cancel()
	unlock, err := s.m.locker.Lock(ctx, s.rec.ID)
	if err != nil {
		if ctx.Err() != nil {
			s.rivals = []Record{s.rec} // a logout needs no turn
			if gone := s.ctx.Err(); gone != nil {
				return fmt.Errorf("%w: %w", ErrLockTimeout, gone)
			}
			return ErrLockTimeout
		}
		return storeError("lock", err)
	}
	s.unlock = unlock
	s.now = s.m.now()
	s.found, s.reason, s.candidate, s.returning = false, "", candidate{}, false
	return s.find()
}
