package peers

import (
	"context"
	"net/http"
	"path/filepath"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Option is a way to configure or use this library whose cost somebody may
// want to know. The one named "default" is what the others are compared with.
type Option struct {
	Name string
	Text string // for people
	// Config changes the default configuration.
	Config func(cfg *core.Config, dir string)
	// Read and Count replace what S3 and S4 do, if not nil.
	Read, Count oursDo
	// First replaces the secrets that the session's cookie is made with.
	First []core.Secret
}

// Options are the options, in the order of the page.
var Options = []Option{
	{Name: "default", Text: "memory store, SecureCookie, CBOR", Config: func(*core.Config, string) {}},
	{Name: "aesgcm", Text: "`Sealer: core.AESGCM`", Config: func(c *core.Config, _ string) { c.Sealer = core.AESGCM }},
	{Name: "cookie", Text: "cookie store, `SecureCookie`, encrypted", Config: func(c *core.Config, _ string) { c.Store = cookiestore.New(cookiestore.Config{}) }},
	{Name: "cookie-aesgcm", Text: "cookie store, `AESGCM`", Config: func(c *core.Config, _ string) {
		c.Store, c.Sealer = cookiestore.New(cookiestore.Config{}), core.AESGCM
	}},
	{Name: "cookie-revocations", Text: "cookie store with a list of revocations in memory", Config: func(c *core.Config, _ string) {
		c.Store = cookiestore.New(cookiestore.Config{Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})})
	}},
	{Name: "file", Text: "file store", Config: func(c *core.Config, dir string) {
		store, err := filestore.New(filestore.Config{Dir: filepath.Join(dir, "sessions"), Create: true})
		if err != nil {
			panic(err)
		}
		c.Store = store
	}},
	{Name: "touch", Text: "`TouchInterval` so short that a touch is due at every request", Config: func(c *core.Config, _ string) {
		c.TouchInterval, c.Clock = time.Millisecond, (&Clock{step: 2 * time.Millisecond}).Now
	}},
	{Name: "exclusive", Text: "`Exclusive: true`", Config: func(c *core.Config, _ string) { c.Exclusive = true }},
	{Name: "events", Text: "`OnEvent` set to a function that counts", Config: func(c *core.Config, _ string) {
		var n [2]int
		c.OnEvent = func(_ context.Context, e core.Event) { n[len(e.Kind)&1]++ }
	}},
	{Name: "requests", Text: "`CountRequests: true`", Config: func(c *core.Config, _ string) { c.CountRequests = true }},
	{Name: "json", Text: "`Codec: core.JSON`", Config: func(c *core.Config, _ string) { c.Codec = core.JSON }},
	{Name: "old-secret", Text: "the cookie was sealed with the last of 3 secrets: opened, and sealed anew", First: []core.Secret{rotated[2]},
		Config: func(c *core.Config, _ string) { c.Secrets = rotated }},
	{Name: "untyped", Text: "`Session.Get` and `Set` in place of a `Key`", Config: func(*core.Config, string) {},
		Read: func(s *core.Session) []byte {
			name, _ := s.Get(nameKey)
			count, _ := s.Get(countKey)
			text, _ := name.(string)
			n, _ := count.(int64)
			return verdict(text, n)
		},
		Count: func(s *core.Session) []byte {
			count, _ := s.Get(countKey)
			n, _ := count.(int64)
			s.Set(countKey, n+1)
			return okay
		}},
	{Name: "get-set", Text: "`Key.Get` and `Key.Set` in place of `Key.Update`: no increment is safe from another request", Config: func(*core.Config, string) {},
		Count: func(s *core.Session) []byte {
			count.Set(s, count.GetOr(s, 0)+1)
			return okay
		}},
}

var rotated = []core.Secret{core.GenerateSecret(), core.GenerateSecret(), core.GenerateSecret()}

// Open makes an application on chi with the option, and a cookie of a session
// in it. dir is for stores that keep files.
func (o Option) Open(dir string) (Site, string) {
	store := memorystore.New(memorystore.Config{})
	cfg := core.Config{Store: store, Secrets: secrets}
	o.Config(&cfg, dir)
	open := func(cfg core.Config) Site {
		m := core.MustNew(cfg)
		return site{close: func() { m.Close() }, handler: o.handler(m)}
	}
	s := open(cfg)
	if o.First == nil {
		return s, Filled(s)
	}
	cfg.Secrets = o.First
	return s, Filled(open(cfg))
}

func (o Option) handler(m *core.Manager) http.Handler {
	h := oursHandlers(Setup{Content: Small}, okayNetHTTP, func(do oursDo) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { answer(w, do(core.Get(r.Context()))) }
	})
	replace := func(h *http.HandlerFunc, do oursDo) {
		if do != nil {
			*h = func(w http.ResponseWriter, r *http.Request) { answer(w, do(core.Get(r.Context()))) }
		}
	}
	replace(&h.read, o.Read)
	replace(&h.count, o.Count)
	return router(h, m.Handler)
}
