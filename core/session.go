package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Session is one request's view of a session. It is loaded at its first use,
// saved once before the response begins, and useless after the request. Its
// methods are safe for concurrent use within the request.
//
// Nothing is saved by hand: see [Session.Save] for the exception, and
// [Manager.New] and [Manager.Load] for sessions outside requests.
type Session struct {
	m       *Manager
	ctx     context.Context // of the request; detached before store calls
	request *http.Request   // as the handler sees it
	lines   []string        // its Cookie headers, or what the transport found
	path    string          // of the cookie

	mu      sync.Mutex
	free    bool // not of an HTTP request: see Manager.Load
	made    bool // nor this: see Manager.New
	phase   phase
	loaded  bool
	err     error // the first failure; see Err
	loadErr error

	last   ID // of the session, once the request is over and its state is gone
	*state    // nil until the first use
}

// state is what a session is once it is used. Most of a session's bytes are
// here, so that a request which never asks for its session allocates few.
type state struct {
	// What was found.
	candidate
	now       time.Time // of the load, then of the last commit; every time of this request derives from it
	found     bool      // rec is stored, and is this session
	returning bool      // a cookie brought it
	inited    bool
	first     []byte   // the values of a session that is not stored: Config.Init
	seen      uint64   // rec.Version as the handler knew it
	rivals    []Record // the different valid sessions of one request
	reason    Reason
	unlock    func()

	// What is wanted.
	ops     []op    // in order, to be replayed on a conflict
	changes changes // what the ops make of rec.Values
	lives   []live  // mutable values in the handler's hands
	force   bool    // MarkDirty
	rotate  bool
	login   bool
	counted bool // this request is in rec.Requests
	gone    bool // EventGone was told
	cookie  cookieAction
	owed    bool // without the line the client loses what was stored
	user    string
	limits  limits

	line string        // what to send, if cookie is setCookie: a Set-Cookie line, or the value for the transport
	life time.Duration // how long the client is to keep it
}

// phase is how far the response is.
type phase uint8

const (
	open      phase = iota // the header can take a cookie
	committed              // the header is sent
	ended                  // the request is over
)

type cookieAction uint8

const (
	keepCookie cookieAction = iota
	setCookie
	clearCookie
)

// limits are what this request wants of the session's lifetime.
type limits struct {
	idle       time.Duration // if not 0
	deadline   time.Time     // if not zero
	persistent bool
}

// ID returns the session's name, or the zero ID while it is not stored. It is
// no credential and stays the same for the session's whole life.
func (s *Session) ID() ID {
	defer s.lock()()
	if !s.use(false) || !s.found {
		return ID{}
	}
	return s.rec.ID
}

// User returns who logged in, or "".
func (s *Session) User() string {
	defer s.lock()()
	if !s.use(false) {
		return ""
	}
	return s.currentUser()
}

func (s *Session) currentUser() string {
	if s.login {
		return s.user
	}
	return s.rec.User
}

// IsNew reports whether the session is not yet confirmed by a client that
// returned its cookie.
func (s *Session) IsNew() bool {
	defer s.lock()()
	return !s.use(false) || !s.returning
}

// Dirty reports whether the session has changes that are not stored yet,
// values changed in place included. Asking does not load the session: one that
// was not used yet has no changes.
func (s *Session) Dirty() bool {
	defer s.lock()()
	if !s.loaded && s.phase != ended || !s.use(false) {
		return false
	}
	s.flush("")
	return s.dirty()
}

// MarkDirty makes the session be stored even if nothing changed.
func (s *Session) MarkDirty() {
	defer s.lock()()
	if s.use(true) {
		s.force = true
	}
}

// CreatedAt returns when the session was created, or the zero time while it is
// not stored. It survives Regenerate and Login.
func (s *Session) CreatedAt() time.Time {
	defer s.lock()()
	if !s.use(false) || !s.found {
		return time.Time{}
	}
	return s.rec.CreatedAt
}

// LastAccess returns when a request before this one used the session, to the
// resolution of Config.TouchInterval, or the zero time while it is not stored.
func (s *Session) LastAccess() time.Time {
	defer s.lock()()
	if !s.use(false) || !s.found {
		return time.Time{}
	}
	return s.rec.LastAccess
}

// LoginAt returns when the user last logged in, or the zero time. Ask for the
// password again before a delicate step if it is long ago (OWASP ASVS 7.5.3).
func (s *Session) LoginAt() time.Time {
	defer s.lock()()
	if !s.use(false) {
		return time.Time{}
	}
	if s.login {
		return s.now
	}
	return s.rec.LoginAt
}

// ExpiresAt returns when the session ends if it is not used again, or the zero
// time while there is nothing to store.
func (s *Session) ExpiresAt() time.Time {
	defer s.lock()()
	return s.planned().ExpiresAt
}

// Deadline returns the absolute limit: when the session ends however busy it
// is. The zero time while there is nothing to store.
func (s *Session) Deadline() time.Time {
	defer s.lock()()
	return s.planned().Deadline
}

// planned is the record as it would be stored now, or the zero one.
func (s *Session) planned() (next Record) {
	if !s.use(false) {
		return Record{}
	}
	if next = s.next(); !s.found && !s.keeps(&next) {
		return Record{}
	}
	return next
}

// IdleTimeout returns the session's idle limit.
func (s *Session) IdleTimeout() time.Duration {
	defer s.lock()()
	if !s.use(false) {
		return 0
	}
	return s.next().IdleTimeout
}

// Requests returns how many requests used the session, this one included, if
// Config.CountRequests is set; otherwise 0.
func (s *Session) Requests() uint64 {
	defer s.lock()()
	if !s.use(false) || !s.m.count {
		return 0
	}
	if s.counted {
		return s.rec.Requests
	}
	return s.rec.Requests + 1
}

// Rejected returns why the cookie that the client presented was not accepted,
// or "" if it was, or if there was none.
func (s *Session) Rejected() Reason {
	defer s.lock()()
	if s.use(false); s.state == nil {
		return ""
	}
	return s.reason
}

// Err returns the first thing that went wrong with the session: a value that
// could not be encoded or decoded, a store that could not be read, a change
// that came too late. While it is not nil, the manager does not let the
// handler's answer pass as a success. See [Status].
func (s *Session) Err() error {
	defer s.lock()()
	return s.err
}

// Login records that user has proved who they are. It replaces the token, so
// that one planted before the login is worthless afterwards (session
// fixation), and starts a new absolute lifetime. Values stay, unless another
// user was logged in: then they are removed first. Call Clear first to keep
// nothing of the time before.
//
// Everything is stored in one step, when the response begins. If the session
// is ended or renewed by another request meanwhile, a new one is begun. The
// user is an opaque string of 1 to 255 bytes.
func (s *Session) Login(user string) {
	defer s.lock()()
	if !s.use(true) || !s.canSetCookie() {
		return
	}
	switch {
	case user == "":
		s.fail(&KeyError{user, "a user must not be empty; call Destroy to log out"})
		return
	case len(user) > maxUserLen:
		s.fail(&TooLargeError{What: "user", Size: len(user), Limit: maxUserLen})
		return
	}
	if was := s.currentUser(); was != "" && was != user {
		s.releasePrefix("")
		s.do(op{kind: opClear})
	}
	s.login, s.user = true, user
}

// Regenerate replaces the token and keeps everything else, the absolute limit
// included. Call it when privileges change; Login does it by itself. (Other
// libraries call it RenewToken, CycleID or changeSessionId.)
func (s *Session) Regenerate() {
	defer s.lock()()
	if s.use(true) && s.canSetCookie() {
		s.rotate = true
	}
}

// Destroy ends the session at once, in the store and in the browser: logout.
// Unlike every other change it also holds if the handler fails afterwards.
// The session is empty from here on; what is set next begins a new one. The
// cookie leaves the header of the handler's request, so no other goroutine may
// read that meanwhile.
//
// An error means that the session may still be valid; unless it is
// [ErrNotRevocable], the response will be an error too. Without a session,
// Destroy does nothing.
func (s *Session) Destroy() error {
	defer s.lock()()
	if s.phase == ended {
		return s.late(ErrEnded)
	}
	s.load()
	if s.loadErr != nil && !errors.Is(s.loadErr, ErrLockTimeout) {
		return s.loadErr
	}
	victims := s.rivals
	if s.found {
		victims = []Record{s.rec}
	}
	var notRevocable error
	destroyed := false
	for _, rec := range victims {
		existed, err := s.m.remove(s.ctx, rec)
		defer s.m.ended(s.ctx, rec, ReasonLogout, existed, err) // last: OnEvent may panic
		switch {
		case errors.Is(err, ErrNotRevocable):
			notRevocable, existed = ErrNotRevocable, true
		case err != nil:
			return s.fail(err)
		}
		destroyed = destroyed || existed
	}
	// Only who ended the session clears the cookie: if another request did,
	// and a login followed, clearing it would end that one.
	if len(victims) > 0 {
		s.cookie, s.line = keepCookie, ""
	}
	if destroyed {
		s.cookie = clearCookie
	}
	s.hideCookie()
	if s.loadErr != nil { // what comes now needs no turn
		if s.err == s.loadErr {
			s.err = nil
		}
		s.loadErr = nil
	}
	s.forget() // last: Config.Init may panic
	return notRevocable
}

// SetIdleTimeout gives this session an idle limit of its own, from a
// millisecond to MaxLifetime. With 0 or less the session ends after this
// request.
func (s *Session) SetIdleTimeout(d time.Duration) {
	defer s.lock()()
	if !s.use(true) {
		return
	}
	if d < time.Millisecond {
		s.limits.deadline = s.now
		return
	}
	s.limits.idle = limit(d).Truncate(time.Millisecond)
}

// SetExpiry moves the absolute limit, at most MaxLifetime from now. With a
// time in the past the session ends after this request: it can still be read,
// but not loaded again.
func (s *Session) SetExpiry(t time.Time) {
	defer s.lock()()
	if !s.use(true) {
		return
	}
	t, now := instant(t), s.m.now() // a session of Manager.New may have waited
	if latest := now.Add(MaxLifetime); t.After(latest) {
		t = latest
	}
	if t.Before(now) {
		t = now
	}
	s.limits.deadline = t
}

// Persist is "remember me": both limits become d from now, at most
// MaxLifetime, and the cookie outlives the browser.
func (s *Session) Persist(d time.Duration) {
	defer s.lock()()
	if !s.use(true) || !s.canSetCookie() {
		return
	}
	now := s.m.now() // a session of Manager.New may have waited
	if d < time.Second {
		s.limits.deadline = now
		return
	}
	d = limit(d).Truncate(time.Millisecond)
	s.limits = limits{idle: d, deadline: now.Add(d), persistent: true}
}

// Save stores the changes so far, now. It is for handlers that stay: server-
// sent events, WebSockets; and for sessions outside requests. Before the first
// byte it also sets the cookie. It counts as a use of the session, so that one
// does not expire while it is streamed to; of a session of [Manager.Load] it
// does not. Of ctx only the values matter: like every call of a store, this one
// ends after Config.StoreTimeout, not when the client hangs up. After an error
// the changes are still pending, and a later Save may succeed.
func (s *Session) Save(ctx context.Context) error {
	defer s.lock()()
	if s.phase == ended {
		return s.late(ErrEnded)
	}
	if s.err != nil {
		return s.err
	}
	request := s.ctx
	s.ctx = unaware{ctx, s, nil}
	defer func() { s.ctx = request }()
	if s.loaded {
		s.now = s.m.now() // a handler that saves is using the session
	}
	return s.commit()
}

// Cookie returns the cookie that brings the session to its client: after a
// Save of a session of [Manager.New], or, in a handler, after a Save or the
// first byte, the one that the response carries. It is nil if there is none to
// send: nothing is stored yet, or nothing of it is news to the client. After
// Destroy it is the one that clears the client's, with a MaxAge below 0. With a
// [Config].Transport only its Value and MaxAge count.
//
// The value is the client's credential: it belongs in the answer, and
// nowhere else.
func (s *Session) Cookie() *http.Cookie {
	defer s.lock()()
	if s.phase == ended {
		s.late(ErrEnded)
		return nil
	}
	switch {
	case s.state == nil || s.cookie == keepCookie:
		return nil
	case s.cookie == clearCookie:
		return parsed(s.m.clearLine(s.path))
	case s.m.transport != nil:
		return &http.Cookie{Name: s.m.cookie.Name, Value: s.line, MaxAge: int(s.life.Round(time.Second) / time.Second)}
	}
	return parsed(s.line)
}

// String, GoString and LogValue show the ID and nothing else.
func (s *Session) String() string {
	defer s.lock()()
	return "sessions.Session(" + s.id().String() + ")"
}

// GoString is String: %#v shows no more than %v does.
func (s *Session) GoString() string { return s.String() }

// LogValue is String, for log/slog.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON gives the ID and nothing else.
func (s *Session) MarshalJSON() ([]byte, error) { return []byte(`"` + s.ID().String() + `"`), nil }

// lock is used as defer s.lock()().
func (s *Session) lock() func() {
	s.mu.Lock()
	return s.mu.Unlock
}

// use prepares the session for reading or changing it and reports whether it
// can be.
func (s *Session) use(change bool) bool {
	if s.phase == ended {
		s.late(ErrEnded)
		return false
	}
	s.load()
	if s.loadErr != nil {
		return false
	}
	if change && s.phase == committed && (!s.found || s.m.carrier != nil) && !s.m.disabled {
		s.late(ErrLate)
		return false
	}
	return true
}

// canSetCookie reports whether a change that needs a new cookie can be made.
func (s *Session) canSetCookie() bool {
	if s.phase != open {
		s.late(ErrLate)
		return false
	}
	return true
}

// fail makes err sticky.
func (s *Session) fail(err error) error {
	if s.err == nil {
		s.err = err
	}
	return err
}

// report makes an error of the application's hooks sticky.
func (s *Session) report(err error) {
	if err != nil {
		defer s.lock()()
		s.fail(err)
	}
}

// late refuses a change that can no longer take effect.
func (s *Session) late(err error) error {
	first := s.err == nil
	s.fail(err)
	if first {
		s.m.emit(s.ctx, Event{Kind: EventLateChange, ID: s.id(), Err: err})
	}
	return err
}

// id names the session for events, which may concern one that was never used,
// or whose request is over.
func (s *Session) id() ID {
	if s.state == nil || !s.found {
		return s.last
	}
	return s.rec.ID
}

// states are those of requests that are over, empty. A handler can keep its
// Session, but not what is behind it, so this half can serve the next request:
// it is most of what a request that uses its session would allocate.
var states = sync.Pool{New: func() any { return new(state) }}

// dispose ends the use of the state, which nobody may look at afterwards. mu
// is held, and the phase is ended.
func (s *Session) dispose() {
	st := s.state
	if st == nil {
		return
	}
	s.last = s.id()
	if s.unlock != nil {
		s.unlock()
	}
	s.state = nil
	ops, changes := emptied(st.ops), emptied(st.changes)
	*st = state{} // nothing of this client is left to the next
	st.ops, st.changes = ops, changes
	states.Put(st)
}

// emptied returns the room of a list, if there is not too much of it to keep.
// Lists become shorter in no other way, so behind an empty one is nothing.
func emptied[T any](list []T) []T {
	if len(list) == 0 {
		return list
	}
	if cap(list) > 16 {
		return nil
	}
	clear(list[:cap(list)])
	return list[:0]
}

// forget makes the session a fresh and empty one.
func (s *Session) forget() {
	s.found, s.returning, s.readOnly, s.reseal = false, false, false, false
	s.tok, s.rivals, s.gone = token{}, nil, false
	s.discard()
	s.blank()
}

// hideCookie takes the session's cookies out of the handler's request, in a
// header of its own: the one that came in is not ours to change.
func (s *Session) hideCookie() {
	if s.request == nil || !s.m.HasCookie(s.request) {
		return
	}
	if s.m.transport != nil {
		if t, ok := s.m.transport.(hider); ok {
			t.hide(s.request)
		}
		return
	}
	h := s.request.Header.Clone()
	if h["Cookie"] = withoutCookie(s.lines, s.m.cookie.Name); len(h["Cookie"]) == 0 {
		delete(h, "Cookie")
	}
	s.request.Header = h
}

// discard drops all changes.
func (s *Session) discard() {
	if s.state == nil {
		return
	}
	s.ops, s.changes, s.lives = emptied(s.ops), emptied(s.changes), nil
	s.force, s.rotate, s.login, s.user = false, false, false, ""
	s.limits = limits{}
}
