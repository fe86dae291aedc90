package peers

import (
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
)

var fiberColumns = []Column{
	{Framework: "fiber", Library: "fiber-session", Keeps: OnServer, Renews: true, Open: func(s Setup) Site { return openFiber(s, fiberStore()) }},
}

func fiberStore() *session.Store {
	return session.NewStore(session.Config{CookieSecure: true, CookieHTTPOnly: true, CookieSameSite: "Lax"})
}

// openFiber ignores Setup.Touch: the middleware stores every session at every
// request.
func openFiber(setup Setup, store *session.Store) Site {
	handle := func(do func(s *session.Middleware) []byte) fiber.Handler {
		return func(c fiber.Ctx) error { return answerFiber(c, do(session.FromContext(c))) }
	}
	use, _ := session.NewWithStore(session.Config{Store: store})
	return fiberSite{close: store.Storage.Close, handler: fiberApp(handlers[fiber.Handler]{
		nothing: okayFiber,
		read: handle(func(s *session.Middleware) []byte {
			name, _ := s.Get(nameKey).(string)
			count, _ := s.Get(countKey).(int64)
			return verdict(name, count)
		}),
		count: handle(func(s *session.Middleware) []byte {
			count, _ := s.Get(countKey).(int64)
			s.Set(countKey, count+1)
			return okay
		}),
		login: handle(func(s *session.Middleware) []byte {
			if !s.Fresh() && s.Regenerate() != nil {
				return nil
			}
			s.Set(userKey, userName)
			return okay
		}),
		fill: handle(func(s *session.Middleware) []byte {
			for _, t := range setup.Content.Texts {
				s.Set(t.Key, t.Value)
			}
			s.Set(countKey, int64(0))
			return okay
		}),
		show: handle(func(s *session.Middleware) []byte {
			name, _ := s.Get(nameKey).(string)
			count, _ := s.Get(countKey).(int64)
			user, _ := s.Get(userKey).(string)
			return display(name, count, user)
		}),
	}, use)}
}
