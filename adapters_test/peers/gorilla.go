package peers

import (
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// A session that lives in its cookie has no token to renew: noting the user
// is all that a login can do.
var gorillaColumns = []Column{
	{Framework: "chi", Library: "gorilla-cookie", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openGorilla(s, signed()) }},
	{Framework: "chi", Library: "gorilla-cookie-encrypted", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openGorilla(s, encrypted()) }},
	{Framework: "chi", Library: "gorilla-cookie-msgp", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openGorilla(s, withMsgp(signed())) }},
	{Framework: "chi", Library: "gorilla-cookie-encrypted-msgp", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openGorilla(s, withMsgp(encrypted())) }},
}

const gorillaName = "session"

// The keys are of the lengths that the documentation recommends.
var (
	hashKey  = securecookie.GenerateRandomKey(32)
	blockKey = securecookie.GenerateRandomKey(32)
)

var gorillaOptions = sessions.Options{Path: "/", MaxAge: 86400, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}

func signed() *sessions.CookieStore    { return cookieStore(hashKey) }
func encrypted() *sessions.CookieStore { return cookieStore(hashKey, blockKey) }

func cookieStore(keys ...[]byte) *sessions.CookieStore {
	store := sessions.NewCookieStore(keys...)
	options := gorillaOptions
	store.Options = &options
	store.MaxAge(options.MaxAge)
	return store
}

func withMsgp(store *sessions.CookieStore) *sessions.CookieStore {
	for _, codec := range store.Codecs {
		codec.(*securecookie.SecureCookie).SetSerializer(msgpSerializer{})
	}
	return store
}

func openGorilla(setup Setup, store sessions.Store) Site {
	return site{handler: router(gorillaHandlers(setup, okayNetHTTP, func(do gorillaDo) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			s, err := store.Get(r, gorillaName)
			if err != nil {
				answer(w, nil)
				return
			}
			answer(w, do(s, w, r))
		}
	}))}
}

// gorillaDo is what a handler does with a session of gorilla/sessions, be it
// its own or through a wrapper.
type gorillaDo func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte

func gorillaHandlers[H any](setup Setup, nothing H, handle func(gorillaDo) H) handlers[H] {
	save := func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte {
		if s.Save(r, w) != nil {
			return nil
		}
		return okay
	}
	return handlers[H]{
		nothing: nothing,
		read: handle(func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte {
			name, _ := s.Values[nameKey].(string)
			count, _ := s.Values[countKey].(int64)
			body := verdict(name, count)
			if setup.Touch && body != nil {
				return save(s, w, r)
			}
			return body
		}),
		count: handle(func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte {
			count, _ := s.Values[countKey].(int64)
			s.Values[countKey] = count + 1
			return save(s, w, r)
		}),
		login: handle(func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte {
			s.Values[userKey] = userName
			return save(s, w, r)
		}),
		fill: handle(func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte {
			for _, t := range setup.Content.Texts {
				s.Values[t.Key] = t.Value
			}
			s.Values[countKey] = int64(0)
			return save(s, w, r)
		}),
		show: handle(func(s *sessions.Session, w http.ResponseWriter, r *http.Request) []byte {
			name, _ := s.Values[nameKey].(string)
			count, _ := s.Values[countKey].(int64)
			user, _ := s.Values[userKey].(string)
			return display(name, count, user)
		}),
	}
}
