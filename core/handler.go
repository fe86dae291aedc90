package core

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Handler is the net/http middleware: it gives next a request whose context
// holds a [Session], and saves that before the response begins. Nested in
// itself it runs once; nested in the handler of another manager it gives a
// second session.
func (m *Manager) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.Serve(w, r, next.ServeHTTP)
	})
}

// Serve is [Manager.Handler] for one request: what an adapter for a framework
// calls. It calls next once, unless [Config].OnRejected has answered: a
// session that cannot be had is an error when it is used.
func (m *Manager) Serve(w http.ResponseWriter, r *http.Request, next func(http.ResponseWriter, *http.Request)) {
	m.ServeAt(w, r, "", next)
}

// ServeAt is [Manager.Serve] for a middleware that is used in a group of
// routes. group is the path that these begin with, or "". Parameters may stand in
// it in any syntax, as in /t/{tenant}: only the number of its segments counts. It
// is part of the cookie's path where that follows the mount, as
// [CookieConfig].Path tells.
func (m *Manager) ServeAt(w http.ResponseWriter, r *http.Request, group string, next func(http.ResponseWriter, *http.Request)) {
	if c, ok := r.Context().Value(nestedKey{m}).(*exchangeContext); ok {
		if same(w, c.inner) {
			w = (*exchange)(c).writer() // a router that started over had forgotten it
		}
		next(w, r)
		return
	}
	e := &exchange{inner: w, outer: r}
	e.request = *r.WithContext((*exchangeContext)(e))
	e.session.m = m
	e.session.ctx = r.Context()
	e.session.lines = m.receive(r)
	e.session.path = m.cookie.Path
	if e.session.path == "" {
		e.session.path = mountPath(r, group)
	}
	e.session.request = &e.request
	defer e.end()
	out := e.writer()
	if !e.rejected(out) {
		if m.onStart != nil {
			e.session.report(m.onStart(&e.request, &e.session))
		}
		next(out, &e.request)
	}
	e.returned = true
}

// rejected lets the application answer a request whose cookie was refused.
func (e *exchange) rejected(w http.ResponseWriter) bool {
	m := e.session.m
	if m.onRejected == nil || !m.HasCookie(&e.request) {
		return false
	}
	reason := e.session.Rejected()
	return reason != "" && m.onRejected(w, &e.request, reason)
}

// exchange is everything that a request needs which does not use its session,
// in one allocation: it is the request's context, the request that the handler
// sees, its session and the writer of its response.
type exchange struct {
	session  Session
	inner    http.ResponseWriter
	outer    *http.Request // as it came in
	request  http.Request  // as the handler sees it
	failure  error         // why the handler's answer was replaced
	begun    bool          // the response header is decided
	ending   bool          // Config.OnEnd was called
	failed   bool          // the status of the answer discards the changes
	hijacked bool
	told     bool      // Config.OnCookie was called
	returned bool      // the handler did not panic
	vary     [1]string // the header's value, without an allocation of its own
}

// begin commits, once, before the response header is sent. An error means that
// the handler's answer must not be sent; another one was.
func (e *exchange) begin(status int) error {
	if e.begun {
		return e.failure
	}
	if m := e.session.m; m.onEnd != nil && !e.ending && !m.failed(status) && e.session.Err() == nil {
		e.callOnEnd()
	}
	err := e.commit(status)
	e.begun = true // not before: a store that panics has not saved
	if err != nil {
		e.fail(err)
	}
	return err
}

// callOnEnd calls Config.OnEnd, once. If it panics, nothing may be saved, even
// if the handler recovers and answers.
func (e *exchange) callOnEnd() {
	e.ending = true
	err := errOnEnd
	defer func() { e.session.report(err) }()
	err = e.session.m.onEnd(&e.request, &e.session)
}

// commit saves or discards, as the status of the answer says, and closes the
// header to further changes of the session.
func (e *exchange) commit(status int) (err error) {
	s := &e.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.hijacked { // what is written from here on is not ours to see
		s.phase = committed
	}
	if e.failed = s.m.failed(status); e.failed {
		s.discard()
	} else if err = s.commit(); err != nil {
		s.fail(err)
		s.discard()
	}
	if e.hijacked && err == nil && s.loaded && s.owed && s.cookie == setCookie {
		err = s.late(ErrLate) // an earlier Save counted on a header
	}
	if !e.hijacked || err != nil {
		e.writeHeader()
	}
	s.phase = committed
	return err
}

// writeHeader puts what the session has to say into the response header.
func (e *exchange) writeHeader() {
	s := &e.session
	if !s.loaded {
		return
	}
	h := e.inner.Header()
	vary := "Cookie"
	if s.m.transport != nil {
		vary = s.m.transport.Vary()
	}
	if old := h["Vary"]; vary == "" {
		if s.found { // the URL is the credential
			h["Cache-Control"] = []string{"no-store"}
			if policy := h["Referrer-Policy"]; len(policy) != 1 || policy[0] != "no-referrer" { // which says still less
				h["Referrer-Policy"] = []string{"same-origin"}
			}
		}
	} else if len(old) == 0 {
		e.vary[0] = vary
		h["Vary"] = e.vary[:1:1]
	} else if !hasToken(old, vary) {
		h.Add("Vary", vary)
	}
	line := s.line
	switch s.cookie {
	case keepCookie:
		return
	case clearCookie:
		line = ""
	}
	fields := []string{"no-store", ""} // one allocation for two headers
	h["Cache-Control"] = fields[:1:1]
	if s.m.transport != nil {
		s.m.transport.Send(h, line, s.life)
		return
	}
	if line == "" {
		line = s.m.clearLine(s.path)
	}
	s.m.warnPlain(e.outer)
	// Another Set-Cookie of the name, set by hand, would contradict ours.
	prefix := s.m.cookie.Name + "="
	old := slices.DeleteFunc(h["Set-Cookie"], func(l string) bool { return strings.HasPrefix(l, prefix) })
	if len(old) == 0 {
		old = fields[1:1:2]
	}
	h["Set-Cookie"] = append(old, line)
	if s.m.onCookie != nil && !e.told {
		e.told = true // first: it may panic, and the header is decided again then
		s.m.onCookie(e.outer, parsed(line))
	}
}

// stay is for a connection that could not be hijacked: there is a header to come.
func (e *exchange) stay() {
	s := &e.session
	s.mu.Lock()
	defer s.mu.Unlock()
	e.hijacked = false
	e.writeHeader()
}

// fail writes the error page in place of the handler's answer.
func (e *exchange) fail(err error) {
	e.failure = err
	answered := false
	defer func() {
		if !answered { // a hook panicked: without a status this would be a 200
			e.inner.WriteHeader(http.StatusInternalServerError)
		}
	}()
	if !errors.Is(err, ErrGone) && err != e.session.loadErr { // those were told already
		e.session.m.emit(e.outer.Context(), Event{Kind: EventCommitFailed, ID: e.session.id(), Err: err})
	}
	e.hijacked = false // it was about to be; the connection still is an HTTP one
	h := e.inner.Header()
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Content-Disposition",
		"Transfer-Encoding", "Trailer", "Etag", "Last-Modified", "Location", "Expires", "Accept-Ranges"} {
		delete(h, name)
	}
	h["Cache-Control"] = []string{"no-store"}
	e.session.m.onError(e.inner, &e.request, err)
	answered = true
}

// end runs when the handler has returned or panicked.
func (e *exchange) end() {
	defer e.close() // whatever the hooks of the application do
	switch {
	case !e.returned:
		e.abort()
	case !e.begun:
		e.beginAtEnd()
	}
}

// beginAtEnd commits for a handler that wrote nothing.
func (e *exchange) beginAtEnd() {
	defer func() {
		if !e.begun { // a hook or a store panicked
			e.returned = false
			e.abort()
		}
	}()
	e.begin(http.StatusOK)
}

// abort discards the changes of a handler that panicked; what was destroyed
// stays destroyed. The panic travels on.
func (e *exchange) abort() {
	s := &e.session
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discard()
	if !e.begun {
		e.begun = true
		e.writeHeader()
	}
}

// close saves what was changed after the response began, and ends the session.
func (e *exchange) close() {
	s := &e.session
	s.mu.Lock()
	defer s.mu.Unlock()
	defer e.release()
	if e.returned && e.failure == nil && !e.failed && s.loaded && s.loadErr == nil && (s.err != nil || len(s.ops) > 0 || len(s.lives) > 0 || s.force || s.limits != (limits{})) {
		e.finish()
	}
}

// release makes the session useless and gives back what the request held. mu
// is held.
func (e *exchange) release() {
	s := &e.session
	s.phase = ended
	s.dispose()
	// A ServeMux inside tells the pattern to the copy; logs outside want it.
	if e.outer.Pattern == "" {
		e.outer.Pattern = e.request.Pattern
	}
	// net/http removes the temporary files of the request that it knows, and
	// that is not this copy.
	if form := e.request.MultipartForm; form != nil && form != e.outer.MultipartForm {
		form.RemoveAll()
	}
}

// finish saves what was changed after the response began. mu is held.
func (e *exchange) finish() {
	s := &e.session
	if err := s.commit(); err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrLate) { // those were told already
		s.m.emit(e.outer.Context(), Event{Kind: EventCommitFailed, ID: s.rec.ID, Err: err})
	}
}

// exchangeContext is the context of the handler's request.
type exchangeContext exchange

func (c *exchangeContext) Deadline() (time.Time, bool) { return c.outer.Context().Deadline() }
func (c *exchangeContext) Done() <-chan struct{}       { return c.outer.Context().Done() }
func (c *exchangeContext) Err() error                  { return c.outer.Context().Err() }

// String and GoString show nothing of the session: contexts are printed.
func (c *exchangeContext) String() string   { return "sessions.Context" }
func (c *exchangeContext) GoString() string { return c.String() }

// unaware hides a session that is locked from the hooks, loggers and stores
// that are given the context: to ask it would never return.
type unaware struct {
	context.Context
	s       *Session
	instead any // what is found in its place
}

func (u unaware) Value(key any) any {
	if v := u.Context.Value(key); v != any(u.s) {
		return v
	}
	return u.instead
}

type sessionKey struct{}

// nestedKey asks whether a manager's middleware is around already.
type nestedKey struct{ m *Manager }

func (c *exchangeContext) Value(key any) any {
	if key == (sessionKey{}) || key == any(c.session.m) {
		return &c.session
	}
	if key == any(nestedKey{c.session.m}) {
		return c
	}
	return c.outer.Context().Value(key)
}

// Lookup returns the session of a request's context. ok is false if the
// request did not pass through a manager's middleware. With several managers
// it is the session of the innermost; see [Manager.Lookup].
func Lookup(ctx context.Context) (s *Session, ok bool) {
	s, ok = ctx.Value(sessionKey{}).(*Session)
	return s, ok
}

// Get is [Lookup] for handlers that are always behind the middleware: without
// it, Get panics and says how to add it.
func Get(ctx context.Context) *Session {
	s, ok := Lookup(ctx)
	if !ok {
		panic("sessions: no session in this context: wrap the handler with sessions.Handler(...), the method of your *core.Manager; a middleware that uses the session goes inside that")
	}
	return s
}

// Lookup returns this manager's session of a request's context.
func (m *Manager) Lookup(ctx context.Context) (s *Session, ok bool) {
	s, ok = ctx.Value(m).(*Session)
	return s, ok
}

// same reports whether two writers are one. Only pointers are sure to compare
// without a panic.
func same(a, b http.ResponseWriter) bool {
	return reflect.TypeOf(a).Kind() == reflect.Pointer && a == b
}

// hasToken reports whether a comma-separated header has a token, or "*".
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimSpace(part)
			if part == "*" || strings.EqualFold(part, token) {
				return true
			}
		}
	}
	return false
}
