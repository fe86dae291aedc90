package peers

import (
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-contrib/sessions/memstore"
	"github.com/gin-gonic/gin"
)

var ginContribColumns = []Column{
	{Framework: "gin", Library: "gin-contrib-cookie", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openGinContrib(s, cookie.NewStore(hashKey)) }},
	{Framework: "gin", Library: "gin-contrib-cookie-encrypted", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openGinContrib(s, cookie.NewStore(hashKey, blockKey)) }},
	{Framework: "gin", Library: "gin-contrib-memstore", Keeps: OnServer, Open: func(s Setup) Site { return openGinContrib(s, memstore.NewStore(hashKey)) }},
}

func openGinContrib(setup Setup, store sessions.Store) Site {
	store.Options(sessions.Options{Path: "/", MaxAge: 86400, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	handle := func(do func(s sessions.Session) []byte) gin.HandlerFunc {
		return func(c *gin.Context) { answer(c.Writer, do(sessions.Default(c))) }
	}
	save := func(s sessions.Session) []byte {
		if s.Save() != nil {
			return nil
		}
		return okay
	}
	return site{handler: ginEngine(handlers[gin.HandlerFunc]{
		nothing: okayGin,
		read: handle(func(s sessions.Session) []byte {
			name, _ := s.Get(nameKey).(string)
			count, _ := s.Get(countKey).(int64)
			body := verdict(name, count)
			if setup.Touch && body != nil {
				s.Set(countKey, count) // Save does nothing without a Set
				return save(s)
			}
			return body
		}),
		count: handle(func(s sessions.Session) []byte {
			count, _ := s.Get(countKey).(int64)
			s.Set(countKey, count+1)
			return save(s)
		}),
		login: handle(func(s sessions.Session) []byte {
			s.Set(userKey, userName)
			return save(s)
		}),
		fill: handle(func(s sessions.Session) []byte {
			for _, t := range setup.Content.Texts {
				s.Set(t.Key, t.Value)
			}
			s.Set(countKey, int64(0))
			return save(s)
		}),
		show: handle(func(s sessions.Session) []byte {
			name, _ := s.Get(nameKey).(string)
			count, _ := s.Get(countKey).(int64)
			user, _ := s.Get(userKey).(string)
			return display(name, count, user)
		}),
	}, sessions.Sessions(gorillaName, store))}
}
