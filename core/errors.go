package core

import (
	"errors"
	"fmt"
)

// What can go wrong with one request's session. [Session.Err] returns the
// first of them; the request then fails instead of reporting a success.
var (
	// ErrGone means that the session was ended, or its token replaced, by
	// another request while this one wanted to change it. The change is
	// refused and the answer is 409: the client should load the page again.
	ErrGone = errors.New("sessions: the session was ended or renewed by another request; its change was not saved")
	// ErrLate means that a change came after the response had begun and
	// needs a cookie that can no longer be sent. Make it before the first
	// byte, or call Save first.
	ErrLate = errors.New("sessions: change after the response began that needs the cookie to be set; change the session before the first Write, or call Save before it")
	// ErrEnded means that the session was used after its request had ended.
	// Read what a goroutine needs before starting it.
	ErrEnded = errors.New("sessions: session used after its request ended; copy what a goroutine needs, or use the Manager's methods")
	// ErrNotRevocable means that the session was cleared from the browser,
	// but a copy of its cookie would still be accepted until it expires:
	// the cookie-only store has no revocation list. Not sticky.
	ErrNotRevocable = errors.New("sessions: the cookie was cleared, but a copy of it stays valid until it expires; give the cookie store a revocation list")
	// ErrUnavailable wraps every failure of a store to keep or to find
	// sessions, so that an error page can tell "try again later" from a
	// programming mistake.
	ErrUnavailable = errors.New("sessions: the session store failed, try again later")
	// ErrLockTimeout means that in exclusive mode another request held the
	// session for longer than Config.LockTimeout.
	ErrLockTimeout = errors.New("sessions: another request holds the session, try again")
	// ErrTooManySessions means that a login was refused, because its user has
	// Config.MaxPerUser sessions already. Offer to end one.
	ErrTooManySessions = errors.New("sessions: the user has as many sessions as are allowed; end one first")
	// ErrNoValue is what Key.Lookup returns for a key that is not set.
	ErrNoValue = errors.New("sessions: no value under this key")
	// ErrConfig is wrapped by every error of New and of a store's New that
	// is about its configuration.
	ErrConfig = errors.New("sessions: configuration")
)

// errOnEnd is the error of a Config.OnEnd that panicked.
var errOnEnd = errors.New("sessions: Config.OnEnd panicked, so nothing was saved")

// TooLargeError says that a limit in bytes or in number was met. Nothing was
// sent or stored, and what was stored before stays.
type TooLargeError struct {
	What  string // "value", "session", "cookie", "keys", "key", "user"
	Size  int    // what it would have been
	Limit int    // the most that is allowed
}

func (e *TooLargeError) Error() string {
	unit := "bytes"
	if e.What == "keys" {
		unit = "keys"
	}
	advice := "store less in the session, or raise Config.MaxBytes"
	switch e.What {
	case "cookie":
		advice = "store less in the session, or use a store that keeps records on the server"
	case "keys", "key", "user":
		advice = "the limit is fixed"
	}
	return fmt.Sprintf("sessions: %s too large: %d of at most %d %s; %s", e.What, e.Size, e.Limit, unit, advice)
}

// ValueError says that the value of a key could not be encoded or decoded. It
// names the key and the Go type, never the value.
type ValueError struct {
	Op   string // "encode" or "decode"
	Key  string
	Type string
	err  error
}

func (e *ValueError) Error() string {
	if e.Op == "decode" {
		return fmt.Sprintf("sessions: the value of key %q is not of type %s; use Lookup to handle values of another type, or another key", e.Key, e.Type)
	}
	return fmt.Sprintf("sessions: cannot store a value of type %s under key %q; use strings, numbers, times, and slices, maps and structs of them", e.Type, e.Key)
}

// Unwrap returns the codec's error. Its text may quote the value: do not log it.
func (e *ValueError) Unwrap() error { return e.err }

// KeyError says that a name cannot be a key, a namespace or a user, and why.
type KeyError struct {
	Name string
	Rule string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("sessions: %q: %s", e.Name, e.Rule)
}

// storeError marks a failure of the engine.
func storeError(verb string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, verb, err)
}
