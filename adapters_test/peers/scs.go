package peers

import (
	"context"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

var scsColumns = []Column{
	{Framework: "chi", Library: "scs", Keeps: OnServer, Renews: true, Open: func(s Setup) Site { return openSCS(s, scsManager(scs.GobCodec{})) }},
	{Framework: "chi", Library: "scs-msgp", Keeps: OnServer, Renews: true, Open: func(s Setup) Site { return openSCS(s, scsManager(msgpCodec{})) }},
}

// scsManager returns a manager over memory with the cookie that the others have.
func scsManager(codec scs.Codec) *scs.SessionManager {
	m := scs.New()
	m.Store = memstore.NewWithCleanupInterval(0) // its goroutine would keep the store for ever
	m.Codec = codec
	m.Cookie.Secure = true
	return m
}

func openSCS(setup Setup, m *scs.SessionManager) Site {
	if setup.Touch {
		m.IdleTimeout = 30 * time.Minute // stores every session that was read
	}
	handle := func(do func(ctx context.Context) []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { answer(w, do(r.Context())) }
	}
	return site{handler: router(handlers[http.HandlerFunc]{
		nothing: okayNetHTTP,
		read: handle(func(ctx context.Context) []byte {
			return verdict(m.GetString(ctx, nameKey), m.GetInt64(ctx, countKey))
		}),
		count: handle(func(ctx context.Context) []byte {
			m.Put(ctx, countKey, m.GetInt64(ctx, countKey)+1)
			return okay
		}),
		login: handle(func(ctx context.Context) []byte {
			if m.Token(ctx) != "" && m.RenewToken(ctx) != nil {
				return nil
			}
			m.Put(ctx, userKey, userName)
			return okay
		}),
		fill: handle(func(ctx context.Context) []byte {
			for _, t := range setup.Content.Texts {
				m.Put(ctx, t.Key, t.Value)
			}
			m.Put(ctx, countKey, int64(0))
			return okay
		}),
		show: handle(func(ctx context.Context) []byte {
			return display(m.GetString(ctx, nameKey), m.GetInt64(ctx, countKey), m.GetString(ctx, userKey))
		}),
	}, m.LoadAndSave)}
}
