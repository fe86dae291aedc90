package core_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// remote is a store whose records outlive the process, and that cannot lock.
type remote struct{ core.Store }

// Promise 12. Fails if withDefaults() leaves out one of its comparisons.
func TestNewRefuses(t *testing.T) {
	mem := memorystore.New(memorystore.Config{})
	s := core.GenerateSecret()
	for _, tc := range []struct {
		names string // words that the error must contain
		edit  func(c *core.Config)
	}{
		{"Store", func(c *core.Config) { c.Store = nil }},
		{"Store", func(c *core.Config) { c.Store = (*memorystore.Store)(nil) }},
		{"IdleTimeout negative", func(c *core.Config) { c.IdleTimeout = -1 }},
		{"AbsoluteTimeout negative", func(c *core.Config) { c.AbsoluteTimeout = -time.Hour }},
		{"TouchInterval negative", func(c *core.Config) { c.TouchInterval = -time.Hour }},
		{"RotationGrace 30s", func(c *core.Config) { c.RotationGrace = time.Minute }},
		{"AbsoluteTimeout 9600h", func(c *core.Config) { c.AbsoluteTimeout = 401 * 24 * time.Hour }},
		{"IdleTimeout AbsoluteTimeout", func(c *core.Config) { c.IdleTimeout = 48 * time.Hour }},
		{"TouchInterval IdleTimeout", func(c *core.Config) { c.TouchInterval = time.Hour }},
		{"IdleTimeout millisecond", func(c *core.Config) { c.IdleTimeout = time.Microsecond }},
		{"MaxBytes", func(c *core.Config) { c.MaxBytes = -1 }},
		{"LockTimeout Exclusive", func(c *core.Config) { c.LockTimeout = time.Second }},
		{"Exclusive lock", func(c *core.Config) { c.Store = remote{mem}; c.Secrets = []core.Secret{s}; c.Exclusive = true }},
		{"Secrets", func(c *core.Config) { c.Store = remote{mem} }},
		{"RequireShared memorystore", func(c *core.Config) { c.RequireShared = true }},
		{"RequireShared spy", func(c *core.Config) { c.RequireShared, c.Store = true, &spy{Store: mem} }},
		{"MaxPerUser negative", func(c *core.Config) { c.MaxPerUser = -1 }},
		{"MaxPerUser list", func(c *core.Config) { c.Store = remote{mem}; c.Secrets = []core.Secret{s}; c.MaxPerUser = 1 }},
		{"RefuseLogin MaxPerUser", func(c *core.Config) { c.RefuseLogin = true }},
		{"Transport URLs", func(c *core.Config) {
			c.Store = cookiestore.New(cookiestore.Config{})
			c.Secrets = []core.Secret{s}
			c.Transport = core.QueryTransport("sid")
		}},
		{"Secrets[0] ParseSecret", func(c *core.Config) { c.Secrets = []core.Secret{{}} }},
		{"Secrets[1] twice", func(c *core.Config) { c.Secrets = []core.Secret{s, s} }},
		{"Secrets 9", func(c *core.Config) {
			for range 9 {
				c.Secrets = append(c.Secrets, core.GenerateSecret())
			}
		}},
		{"Cookie Name", func(c *core.Config) { c.Cookie.Name = "a b" }},
		{"Sealer", func(c *core.Config) {
			c.Sealer = func(core.SealConfig) (core.Sealer, error) { return nil, errors.New("no") }
		}},
	} {
		cfg := core.Config{Store: mem}
		tc.edit(&cfg)
		m, err := core.New(cfg)
		if m != nil || !errors.Is(err, core.ErrConfig) {
			t.Errorf("%s: %v, %v", tc.names, m, err)
			continue
		}
		for word := range strings.FieldsSeq(tc.names) {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not mention %q", err, word)
			}
		}
		func() {
			defer func() {
				if r, _ := recover().(error); !errors.Is(r, core.ErrConfig) {
					t.Errorf("%s: MustNew panicked with %v", tc.names, r)
				}
			}()
			core.MustNew(cfg)
		}()
	}
	for name, edit := range map[string]func(c *core.Config){
		"zero":           func(*core.Config) {},
		"short absolute": func(c *core.Config) { c.AbsoluteTimeout = 3 * time.Second },
		"short idle":     func(c *core.Config) { c.IdleTimeout = time.Second },
		"equal":          func(c *core.Config) { c.AbsoluteTimeout, c.IdleTimeout = time.Hour, time.Hour },
		"longest":        func(c *core.Config) { c.AbsoluteTimeout, c.IdleTimeout = core.MaxLifetime, core.MaxLifetime },
		"shared": func(c *core.Config) {
			c.Store, c.Secrets, c.RequireShared = remote{mem}, []core.Secret{s}, true
		},
		"remote": func(c *core.Config) { c.Store = remote{mem}; c.Secrets = []core.Secret{s} },
	} {
		cfg := core.Config{Store: mem}
		edit(&cfg)
		if _, err := core.New(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Feature P13.
func TestConfigIsCopied(t *testing.T) {
	secrets := []core.Secret{core.GenerateSecret()}
	w := newWorld(t, func(c *core.Config) { c.Secrets = secrets })
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	secrets[0] = core.Secret{}
	mustBe(t, "user", c.user(), "u")
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int{
		core.ErrGone: 409, core.ErrConflict: 409, core.ErrUnavailable: 503, core.ErrLockTimeout: 503, core.ErrFull: 503,
		core.ErrLate: 500, &core.TooLargeError{}: 500, errors.New("x"): 500,
	} {
		mustBe(t, err.Error(), core.Status(err), want)
	}
}
