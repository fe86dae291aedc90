package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Config describes a [Manager]. Only Store is required; the zero value of
// every other field is the one for production. [New] reads it once: later
// changes have no effect.
type Config struct {
	// Store keeps the sessions. Required.
	Store Store
	// RequireShared refuses a store that only this process can see, for an
	// application that runs as several processes. Default: false.
	RequireShared bool
	// Secrets seal the cookies, newest first: the first seals, all open, and
	// a cookie that an older one opened is sealed again. At most 8. Default:
	// none, which only a store that dies with the process accepts.
	Secrets []Secret
	// Sealer makes the sealer: SecureCookie, AESGCM, or another. Default:
	// SecureCookie.
	Sealer func(SealConfig) (Sealer, error)
	// Codec encodes values. Default: CBOR.
	Codec Codec
	// Cookie describes the cookie. Default: see CookieConfig.
	Cookie CookieConfig
	// Transport carries the token by other means than a cookie; of Cookie
	// only the Name counts then, as a label in the seal. Default: a cookie.
	Transport Transport

	// IdleTimeout ends a session that was not used for this long. Default:
	// 30 minutes, or AbsoluteTimeout if that is shorter.
	IdleTimeout time.Duration
	// AbsoluteTimeout ends a session this long after it was created or its
	// user last logged in, however busy it is. Default: 24 hours.
	AbsoluteTimeout time.Duration
	// TouchInterval is the resolution of access times: a request that only
	// reads stores one at most this often. An idle session may end this much
	// early. Default: a tenth of IdleTimeout.
	TouchInterval time.Duration
	// RotationGrace lets the token before a plain Regenerate read, not
	// write, for this long, for requests under way with it; a login never
	// does. At most 30 seconds; a cookie-only store has none. Default: 0.
	RotationGrace time.Duration

	// MaxBytes bounds the encoded content of one session. A cookie-only
	// store is bounded by the 4096 bytes of a cookie besides. Default: 65536.
	MaxBytes int
	// StoreTimeout bounds each call of a store. A client that hangs up does
	// not end it. Default: 5 seconds.
	StoreTimeout time.Duration
	// Exclusive lets one request at a time use a session, from its first
	// access to the session until its end. Needs a store that is a Locker.
	// Should a lock be lost, as to a machine that stood still, the version of
	// the record is the fence: of those who then change values, who comes
	// later is answered with ErrConflict. A logout needs no turn: Destroy holds
	// even where the wait for one was in vain. Default: false; concurrent
	// changes are merged.
	Exclusive bool
	// LockTimeout bounds the wait in exclusive mode. Default: 10 seconds.
	LockTimeout time.Duration
	// CountRequests makes Session.Requests count, at the price of a write
	// per request. Default: false.
	CountRequests bool
	// MaxPerUser bounds the live sessions of one user. A login beyond it
	// ends the session whose login is the oldest, on any node. Needs a store
	// that can list by user. Default: 0, no limit.
	MaxPerUser int
	// RefuseLogin refuses the login beyond MaxPerUser instead: the answer is
	// ErrTooManySessions, and nothing is stored. Of two logins at the same
	// moment both may pass; then the oldest session ends. Default: false.
	RefuseLogin bool

	// Init gives a session that is not stored yet its first values. They can
	// be read, but are not information: nothing is stored until something
	// else is, and then they are stored with it. It may only set values, and
	// runs when the session is first used. Default: none.
	Init func(r *http.Request, s *Session)
	// Keep reports whether a session is worth keeping. If not, it is not
	// stored, and ends if it was, whatever it holds. Keep is given the user,
	// or "", and the keys in ascending order, those of a namespace as
	// "name/key". It may be called several times in a request, and must not
	// use the session. Default: a session with a user or any key is.
	Keep func(user string, keys []string) bool
	// OnStart runs before the handler. After an error the handler still runs,
	// but what it changes is not saved and OnError answers. Default: none.
	OnStart func(r *http.Request, s *Session) error
	// OnEnd runs once, before the changes are saved: just before the first
	// byte of the response, or when the handler has returned. What it sets
	// is saved too. It does not run if the changes are to be discarded, or if
	// Session.Err is set. After an error of its own nothing is saved and
	// OnError answers. The errors of OnStart and OnEnd are what Session.Err
	// returns. Default: none.
	OnEnd func(r *http.Request, s *Session) error
	// OnCookie is told of the cookie that a response sets or, with a MaxAge
	// below 0, clears: once, just before the header is sent, and after what it
	// stands for is stored. r is the request as it came to the middleware. The
	// cookie is the credential of the client: keep its Value out of logs.
	// What OnCookie changes of it has no effect, and it must not use the
	// session. It is not called with a Transport. Default: none.
	OnCookie func(r *http.Request, c *http.Cookie)
	// OnRejected may answer a request whose cookie was not accepted, with
	// 401 for instance, and reports whether it did; the handler is then left
	// out. Let the way to the login page through: the client presents the
	// dead cookie until a new one replaces it. It makes every request with a
	// cookie load its session. Default: none, the request is anonymous.
	OnRejected func(w http.ResponseWriter, r *http.Request, reason Reason) (answered bool)

	// Failed tells for which status of an answer changes, logins and
	// rotations are discarded. Default: 500 and above.
	Failed func(status int) bool
	// OnError writes the answer when a session could not be read or saved,
	// in place of the handler's; Status tells the usual status code. It must
	// not use the session. Default: a line of plain text.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// OnEvent is told what has happened, for metrics and audits. It runs
	// inside the request, or where the store sweeps; it must be quick, and must
	// not use the session. Default: none.
	OnEvent func(ctx context.Context, e Event)
	// Logger receives the same: failures as errors and warnings, the rest as
	// debug. Default: slog.Default.
	Logger *slog.Logger
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

const (
	defaultMaxBytes     = 64 << 10
	defaultStoreTimeout = 5 * time.Second
	defaultLockTimeout  = 10 * time.Second
	maxSecrets          = 8
	maxGrace            = 30 * time.Second
	maxUserLen          = 255
)

// withDefaults returns the configuration in force, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
	}
	if isNil(c.Store) {
		return bad("Store is nil; use memorystore.New, cookiestore.New or another")
	}
	for _, d := range []struct {
		field string
		value time.Duration
		most  time.Duration
	}{
		{"IdleTimeout", c.IdleTimeout, MaxLifetime},
		{"AbsoluteTimeout", c.AbsoluteTimeout, MaxLifetime},
		{"TouchInterval", c.TouchInterval, MaxLifetime},
		{"RotationGrace", c.RotationGrace, maxGrace},
		{"StoreTimeout", c.StoreTimeout, time.Hour},
		{"LockTimeout", c.LockTimeout, time.Hour},
	} {
		if d.value < 0 {
			return bad("%s is negative: %v", d.field, d.value)
		}
		if d.value > d.most {
			return bad("%s is %v, more than the most allowed, %v", d.field, d.value, d.most)
		}
		if d.value != 0 && d.value < time.Millisecond {
			return bad("%s is %v; the resolution is a millisecond", d.field, d.value)
		}
	}
	if c.AbsoluteTimeout == 0 {
		c.AbsoluteTimeout = defaultAbsolute
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = min(defaultIdle, c.AbsoluteTimeout)
	}
	if c.IdleTimeout > c.AbsoluteTimeout {
		return bad("IdleTimeout %v is longer than AbsoluteTimeout %v, so it would never apply", c.IdleTimeout, c.AbsoluteTimeout)
	}
	if c.TouchInterval == 0 {
		c.TouchInterval = c.IdleTimeout / touchFraction
	}
	if c.TouchInterval >= c.IdleTimeout {
		return bad("TouchInterval %v is not shorter than IdleTimeout %v, so sessions in use would end", c.TouchInterval, c.IdleTimeout)
	}
	if c.MaxPerUser < 0 {
		return bad("MaxPerUser is negative: %d", c.MaxPerUser)
	}
	if c.RefuseLogin && c.MaxPerUser == 0 {
		return bad("RefuseLogin is set, but MaxPerUser is not")
	}
	if _, ok := power[UserLister](c.Store); c.MaxPerUser > 0 && !ok {
		return bad("MaxPerUser needs a store that can list by user, and %T cannot", c.Store)
	}
	if c.MaxBytes < 0 {
		return bad("MaxBytes is negative: %d", c.MaxBytes)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.StoreTimeout == 0 {
		c.StoreTimeout = defaultStoreTimeout
	}
	if c.LockTimeout != 0 && !c.Exclusive {
		return bad("LockTimeout is set, but Exclusive is not")
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = defaultLockTimeout
	}
	if _, ok := power[Locker](c.Store); c.Exclusive && !ok {
		return bad("Exclusive needs a store that can lock, and %T cannot", c.Store)
	}
	if _, ok := power[Carrier](c.Store); c.RotationGrace != 0 && ok {
		return bad("RotationGrace needs a store that keeps records, and %T leaves them to the client", c.Store)
	}
	if _, ok := power[ProcessLocal](c.Store); ok && c.RequireShared {
		return bad("RequireShared is set, but no other process can see the sessions in %T; use a file, SQL or Redis store", c.Store)
	}
	if len(c.Secrets) == 0 {
		if _, ok := power[ProcessLocal](c.Store); !ok {
			return bad("Secrets is empty, but sessions in %T outlive this process; make one with: openssl rand -base64 32", c.Store)
		}
		c.Secrets = []Secret{GenerateSecret()}
	}
	if len(c.Secrets) > maxSecrets {
		return bad("Secrets has %d entries; at most %d, as every one may be tried on every cookie", len(c.Secrets), maxSecrets)
	}
	seen := map[Secret]bool{}
	for i, s := range c.Secrets {
		if s.key == "" {
			return bad("Secrets[%d] is empty; use ParseSecret", i)
		}
		if seen[s] {
			return bad("Secrets[%d] is there twice", i)
		}
		seen[s] = true
	}
	if c.Sealer == nil {
		c.Sealer = SecureCookie
	}
	if c.Codec == nil {
		c.Codec = CBOR
	}
	if c.Failed == nil {
		c.Failed = func(status int) bool { return status >= 500 }
	}
	if c.OnError == nil {
		c.OnError = defaultOnError
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Transport != nil {
		if c.Cookie != (CookieConfig{Name: c.Cookie.Name}) {
			return bad("Cookie describes a cookie, but Transport sends none")
		}
		if rule, ok := validTransport(c.Transport); !ok {
			return bad("Transport: %s", rule)
		}
		if _, ok := c.Transport.(queryTransport); ok {
			if _, ok := power[Carrier](c.Store); ok {
				return bad("Transport puts the session into URLs, and %T has it all in the token; use a store that keeps records", c.Store)
			}
		}
	}
	var err error
	c.Cookie, err = c.Cookie.withDefaults()
	return c, err
}

// Status returns the HTTP status that fits an error of a session: 409 if another
// request ended or changed it, or if its user has too many; 503 if the store
// failed, is full, or the lock was not free in time; else 500.
func Status(err error) int {
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrConflict), errors.Is(err, ErrTooManySessions):
		return http.StatusConflict
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrLockTimeout), errors.Is(err, ErrFull):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func defaultOnError(w http.ResponseWriter, _ *http.Request, err error) {
	status := Status(err)
	text := "Something went wrong with your session. Nothing was saved."
	switch {
	case errors.Is(err, ErrTooManySessions):
		text = "You are logged in too often. Log out elsewhere first."
	case status == http.StatusConflict:
		text = "Your session changed in the meantime. Nothing was saved: load the page again and retry."
	case status == http.StatusServiceUnavailable:
		text = "Sessions are not available right now. Nothing was saved: please retry shortly."
	}
	http.Error(w, text, status)
}
