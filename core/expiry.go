package core

import (
	"context"
	"log/slog"
	"time"
)

const (
	// MaxLifetime caps every limit of a session: browsers keep no cookie for
	// longer (RFC 6265bis).
	MaxLifetime = 400 * 24 * time.Hour

	defaultIdle     = 30 * time.Minute // OWASP ASVS 7.3.1; NIST SP 800-63B allows an hour
	defaultAbsolute = 24 * time.Hour   // NIST SP 800-63B 2.2.3
	touchFraction   = 10               // access times are stored every tenth of the idle limit

	// maxSkew is how far ahead of this clock those of other nodes may be: the
	// times in a cookie-only record, and the logins of a user.
	maxSkew = time.Minute
)

// instant is the resolution that records keep.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// expired reports whether the record's own limits have passed. It does not
// trust ExpiresAt alone: a Touch that lost a race may have moved that beyond
// limits which were shortened meanwhile.
func (r *Record) expired(now time.Time) bool {
	return !now.Before(r.ExpiresAt) || !now.Before(r.Deadline) || !now.Before(r.LastAccess.Add(r.IdleTimeout))
}

// setExpiry computes ExpiresAt from the limits.
func (r *Record) setExpiry() {
	r.ExpiresAt = r.LastAccess.Add(r.IdleTimeout)
	if r.Deadline.Before(r.ExpiresAt) {
		r.ExpiresAt = r.Deadline
	}
}

// wantsTouch reports whether the stored access time is older than the touch
// interval, strictly (feature Q3). A session with a shorter idle limit than
// the configured one is touched more often in proportion.
func (m *Manager) wantsTouch(r *Record, now time.Time) bool {
	interval := m.touch
	if r.IdleTimeout < m.idle {
		interval = time.Duration(float64(interval) * (float64(r.IdleTimeout) / float64(m.idle)))
	}
	return now.Sub(r.LastAccess) > interval
}

// limit caps a lifetime that an application asks for.
func limit(d time.Duration) time.Duration { return min(d, MaxLifetime) }

// expire has the record of a session that was presented after its end removed
// (feature PX11). Where that fails, a sweep will.
func (m *Manager) expire(ctx context.Context, id ID) {
	if m.expirer == nil {
		return
	}
	ctx, cancel := m.storeContext(ctx)
	defer cancel()
	_ = m.expirer.Expire(ctx, id)
}

// watchExpiry reports the sessions that nobody ended, if somebody listens: a
// store that has to tell which records it removes needs longer for it.
func (m *Manager) watchExpiry() {
	m.unwatch = func() {}
	if m.expirer != nil && (m.onEvent != nil || m.log.Enabled(context.Background(), slog.LevelDebug)) {
		m.unwatch = m.expirer.NotifyExpired(m.expired)
	}
}

// expired reports the end of a session that expired.
func (m *Manager) expired(ctx context.Context, rec Record, swept bool) {
	why := ReasonAbsolute
	switch {
	case rec.IdleTimeout == 0:
		return // emptied, and reported as that: see Session.removeEmpty
	case swept:
		why = ReasonSweep
	case rec.ExpiresAt.Before(rec.Deadline):
		why = ReasonIdle
	}
	m.emit(ctx, Event{Kind: EventDestroyed, ID: rec.ID, User: rec.User, Reason: why})
}
