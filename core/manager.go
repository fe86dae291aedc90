package core

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"
)

// Manager runs the sessions of one application. Make one at start with [New]
// and share it: it is immutable and safe for concurrent use.
type Manager struct {
	store       Store
	carrier     Carrier        // the store, if records travel in the cookie
	deleter     VersionDeleter // or nil
	locker      Locker         // or nil
	expirer     Expirer        // or nil
	unwatch     func()         // the expirer
	nonBlocking bool
	faithful    bool // the store hands back the values that it was given

	sealer     Sealer
	codec      Codec
	format     byte // of the codec
	scalars    bool // it is CBOR: see encodeScalar
	cookie     CookieConfig
	transport  Transport // or nil: a cookie
	attributes string    // of the cookie, Path left out

	idle, absolute, touch, grace time.Duration
	storeTimeout, lockTimeout    time.Duration
	maxBytes                     int
	maxPerUser                   int
	exclusive, count, refuse     bool
	disabled                     bool

	init       func(*http.Request, *Session)
	keep       func(string, []string) bool
	onStart    func(*http.Request, *Session) error
	onEnd      func(*http.Request, *Session) error
	onCookie   func(*http.Request, *http.Cookie)
	onRejected func(http.ResponseWriter, *http.Request, Reason) bool

	failed  func(int) bool
	onError func(http.ResponseWriter, *http.Request, error)
	onEvent func(context.Context, Event)
	log     *slog.Logger
	clock   func() time.Time

	queue  [64]chan struct{} // see Session.commit
	warned atomic.Bool       // of a Secure cookie over plain HTTP
}

// New checks a configuration and returns its manager. An error wraps
// [ErrConfig] and names the fields that are wrong or contradict each other.
func New(cfg Config) (*Manager, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{
		store:        cfg.Store,
		codec:        cfg.Codec,
		format:       cfg.Codec.Format(),
		cookie:       cfg.Cookie,
		transport:    cfg.Transport,
		attributes:   cfg.Cookie.attributes(),
		idle:         cfg.IdleTimeout,
		absolute:     cfg.AbsoluteTimeout,
		touch:        cfg.TouchInterval,
		grace:        cfg.RotationGrace,
		storeTimeout: cfg.StoreTimeout,
		lockTimeout:  cfg.LockTimeout,
		maxBytes:     cfg.MaxBytes,
		exclusive:    cfg.Exclusive,
		count:        cfg.CountRequests,
		maxPerUser:   cfg.MaxPerUser,
		refuse:       cfg.RefuseLogin,
		init:         cfg.Init,
		keep:         cfg.Keep,
		onStart:      cfg.OnStart,
		onEnd:        cfg.OnEnd,
		onCookie:     cfg.OnCookie,
		onRejected:   cfg.OnRejected,
		failed:       cfg.Failed,
		onError:      cfg.OnError,
		onEvent:      cfg.OnEvent,
		log:          cfg.Logger,
		clock:        cfg.Clock,
	}
	_, m.scalars = cfg.Codec.(cborCodec)
	m.carrier, _ = power[Carrier](cfg.Store)
	m.deleter, _ = power[VersionDeleter](cfg.Store)
	m.locker, _ = power[Locker](cfg.Store)
	m.expirer, _ = power[Expirer](cfg.Store)
	_, m.faithful = cfg.Store.(ProcessLocal)
	if n, ok := cfg.Store.(NonBlocking); ok {
		m.nonBlocking = n.NonBlocking()
	}
	for i := range m.queue {
		m.queue[i] = make(chan struct{}, 1)
	}
	m.sealer, err = cfg.Sealer(SealConfig{
		Secrets: append([]Secret(nil), cfg.Secrets...),
		Name:    cfg.Cookie.Name,
		Encrypt: m.carrier != nil,
		MaxLen:  maxCookie - len(cfg.Cookie.Name),
		MaxAge:  MaxLifetime,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: Sealer: %w", ErrConfig, err)
	}
	m.watchExpiry()
	return m, nil
}

// MustNew is [New] for programs that cannot start without: it panics with the
// error.
func MustNew(cfg Config) *Manager {
	m, err := New(cfg)
	if err != nil {
		panic(err)
	}
	return m
}

// Disabled returns a manager that keeps nothing: sessions can be used, but are
// empty at every request, store nothing and send no cookie; its lists are empty
// too. For tests, and for programs that run with sessions turned off.
func Disabled() *Manager {
	m := MustNew(Config{Store: nowhere{}})
	m.disabled = true
	return m
}

// nowhere is a store that has nothing and takes nothing.
type nowhere struct{}

func (nowhere) Load(context.Context, ID) (Record, error)              { return Record{}, ErrNotFound }
func (nowhere) Create(context.Context, Record) error                  { return ErrFull }
func (nowhere) Update(context.Context, Record) error                  { return ErrNotFound }
func (nowhere) Touch(context.Context, ID, time.Time, time.Time) error { return ErrNotFound }
func (nowhere) Delete(context.Context, ID) (existed bool, err error)  { return false, nil }
func (nowhere) ListUser(context.Context, string) ([]Record, error)    { return nil, nil }
func (nowhere) List(context.Context) iter.Seq2[Record, error] {
	return func(func(Record, error) bool) {}
}
func (nowhere) Count(context.Context) (int, error) { return 0, nil }
func (nowhere) ProcessLocal()                      {}
func (nowhere) NonBlocking() bool                  { return true }

// Store returns the store, for its own administration.
func (m *Manager) Store() Store { return m.store }

// CookieName returns the name of the cookie in force.
func (m *Manager) CookieName() string { return m.cookie.Name }

// Close closes the store, if it can be closed. Requests under way may fail.
func (m *Manager) Close() error {
	defer m.unwatch()
	if c, ok := power[io.Closer](m.store); ok {
		return c.Close()
	}
	return nil
}

// String and GoString show nothing of the configuration.
func (m *Manager) String() string   { return "sessions.Manager(" + m.cookie.Name + ")" }
func (m *Manager) GoString() string { return m.String() }

// now is the time to the resolution that records keep.
func (m *Manager) now() time.Time { return time.UnixMilli(m.clock().UnixMilli()).UTC() }

// storeContext bounds a call of the store: the client hanging up must not
// skip a logout, but a store that hangs must not hold the request for ever.
func (m *Manager) storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.nonBlocking {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), m.storeTimeout)
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}
