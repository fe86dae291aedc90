package peers

import (
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// oursOn returns the columns of this library on a framework: each sealer with
// each store that needs no server. build makes the application.
func oursOn(framework string, build func(*core.Manager, Setup) http.Handler) []Column {
	column := func(library string, keeps Place, config func(Setup) core.Config) Column {
		return Column{Framework: framework, Library: library, Keeps: keeps, Renews: true, Ours: true, Open: func(s Setup) Site {
			m := core.MustNew(config(s))
			return site{handler: build(m, s), close: func() { m.Close() }}
		}}
	}
	return []Column{
		column("sessions-memory-securecookie", OnServer, inMemory(core.SecureCookie)),
		column("sessions-memory-aesgcm", OnServer, inMemory(core.AESGCM)),
		column("sessions-cookie-securecookie", InCookie, inCookie(core.SecureCookie)),
		column("sessions-cookie-aesgcm", InCookie, inCookie(core.AESGCM)),
	}
}

type newSealer = func(core.SealConfig) (core.Sealer, error)

func inMemory(sealer newSealer) func(Setup) core.Config {
	return func(s Setup) core.Config {
		store := memorystore.Config{MaxSessions: 20_000_000, MaxBytes: 16 << 30}
		if s.Clock != nil {
			store.Clock, store.SweepInterval = s.Clock.Now, time.Second
		}
		return oursConfig(s, core.Config{Store: memorystore.New(store), Sealer: sealer})
	}
}

func inCookie(sealer newSealer) func(Setup) core.Config {
	return func(s Setup) core.Config {
		return oursConfig(s, core.Config{Store: cookiestore.New(cookiestore.Config{}), Sealer: sealer})
	}
}

func oursConfig(s Setup, cfg core.Config) core.Config {
	cfg.Secrets = secrets
	if s.Touch {
		cfg.TouchInterval = time.Millisecond
		cfg.Clock = (&Clock{step: 2 * time.Millisecond}).Now
	}
	if s.Clock != nil {
		cfg.Clock = s.Clock.Now
	}
	return cfg
}

var secrets = []core.Secret{core.GenerateSecret()}

var (
	name  = core.NewKey[string](nameKey)
	count = core.NewKey[int64](countKey)
)

// oursDo is what a handler does with a session of this library.
type oursDo func(s *core.Session) []byte

func oursHandlers[H any](setup Setup, nothing H, handle func(oursDo) H) handlers[H] {
	return handlers[H]{
		nothing: nothing,
		read: handle(func(s *core.Session) []byte {
			return verdict(name.GetOr(s, ""), count.GetOr(s, 0))
		}),
		count: handle(func(s *core.Session) []byte {
			count.Update(s, func(n int64) int64 { return n + 1 })
			return okay
		}),
		login: handle(func(s *core.Session) []byte {
			s.Login(userName)
			return okay
		}),
		fill: handle(func(s *core.Session) []byte {
			for _, t := range setup.Content.Texts {
				s.Set(t.Key, t.Value)
			}
			count.Set(s, 0)
			return okay
		}),
		show: handle(func(s *core.Session) []byte {
			return display(name.GetOr(s, ""), count.GetOr(s, 0), s.User())
		}),
	}
}
