package core

import (
	"context"
	"errors"
	"log/slog"
)

// EventKind says what happened to a session.
type EventKind string

// The events of a session's life. See [Event] for what each carries.
const (
	EventCreated      EventKind = "created"       // stored for the first time
	EventLoaded       EventKind = "loaded"        // found by its cookie
	EventSaved        EventKind = "saved"         // changes stored
	EventMerged       EventKind = "merged"        // changes stored, after others had changed it meanwhile
	EventConflict     EventKind = "conflict"      // an update met another version, and will be tried again
	EventRegenerated  EventKind = "regenerated"   // token replaced
	EventLogin        EventKind = "login"         // user recorded, token replaced
	EventDestroyed    EventKind = "destroyed"     // ended, once for each session; Reason says why
	EventExpired      EventKind = "expired"       // presented after a limit
	EventRejected     EventKind = "rejected"      // a cookie was not accepted; Reason says why
	EventGone         EventKind = "gone"          // changes refused: ended or rotated by another request
	EventLateChange   EventKind = "late change"   // change refused: too late to reach the client
	EventCommitFailed EventKind = "commit failed" // changes not stored
	EventLoadFailed   EventKind = "load failed"   // the store could not be read
	EventTouchFailed  EventKind = "touch failed"  // access time not stored; the next request tries again
	EventLimitFailed  EventKind = "limit failed"  // sessions beyond Config.MaxPerUser not ended; the next login tries again
)

// Reason says why a cookie was not accepted or why a session ended.
type Reason string

// Why a presented cookie was refused: see [Session.Rejected].
const (
	ReasonMalformed Reason = "malformed" // not a session's cookie at all, or its record cannot be read
	ReasonSeal      Reason = "seal"      // forged, damaged, or sealed with a retired secret
	ReasonExpired   Reason = "expired"   // the idle or absolute limit has passed
	ReasonUnknown   Reason = "unknown"   // no such session: it ended, or expired and was swept
	ReasonRotated   Reason = "rotated"   // replaced at a login or Regenerate
	ReasonDuplicate Reason = "duplicate" // two different valid sessions were presented; neither is used
	ReasonRevoked   Reason = "revoked"   // on the revocation list of a cookie-only store
)

// Why a session ended. ReasonIdle, ReasonAbsolute and ReasonSweep need a store
// that is an [Expirer]; of all nodes, the one that removes the record reports
// it.
const (
	ReasonLogout   Reason = "logout"   // Session.Destroy
	ReasonRevoke   Reason = "revoke"   // Manager.Revoke, RevokeUser, or SetExpiry with a time that has passed
	ReasonEmptied  Reason = "emptied"  // it lost its last value
	ReasonIdle     Reason = "idle"     // not used for its idle limit, and presented afterwards
	ReasonAbsolute Reason = "absolute" // beyond its absolute limit, and presented afterwards
	ReasonSweep    Reason = "sweep"    // beyond a limit, and removed before anybody presented it
	ReasonLimit    Reason = "limit"    // its user logged in more often than Config.MaxPerUser allows
)

// Event is one thing that happened. It carries no token, secret or value; an
// ID is no credential.
type Event struct {
	Kind   EventKind
	ID     ID     // zero if there is no session
	User   string // of the session, if known
	Reason Reason // of expired, rejected and destroyed
	Err    error  // of the failures
}

// level is how loud an event is in the log. Only what an operator must act on
// is louder than debug.
func (e Event) level() slog.Level {
	switch {
	case errors.Is(e.Err, ErrTooManySessions): // an answer to the user
		return slog.LevelDebug
	case errors.Is(e.Err, ErrLockTimeout) && errors.Is(e.Err, context.Canceled): // nobody waits for one any more
		return slog.LevelDebug
	}
	switch e.Kind {
	case EventCommitFailed, EventLoadFailed:
		return slog.LevelError
	case EventLateChange, EventTouchFailed, EventLimitFailed:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (m *Manager) emit(ctx context.Context, e Event) {
	if m.onEvent != nil {
		m.onEvent(ctx, e)
	}
	level := e.level()
	if !m.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 4)
	attrs = append(attrs, slog.String("event", string(e.Kind)))
	if !e.ID.IsZero() {
		attrs = append(attrs, slog.String("session", e.ID.String()))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(e.Reason)))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	m.log.LogAttrs(ctx, level, "session", attrs...)
}
