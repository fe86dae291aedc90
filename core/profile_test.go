package core_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Features W48 and F56 are not part of the library: a site of several tenants
// has a manager for each, and a few lines that choose. Fails if managers over
// one store share more than that.
func TestManagerForEachTenant(t *testing.T) {
	secrets := []core.Secret{core.GenerateSecret()}
	a := newWorld(t, func(c *core.Config) { c.Secrets, c.Cookie.Name, c.IdleTimeout = secrets, "__Host-a", time.Minute })
	b := newWorld(t, func(c *core.Config) {
		c.Secrets, c.Cookie.Name, c.Store, c.Clock = secrets, "__Host-b", a.store, a.clock.Now
	})
	app := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		if user := r.FormValue("login"); user != "" {
			s.Login(user)
		}
		r.Header.Set("Seen", s.User())
	})
	tenants := map[string]http.Handler{"a.example": a.m.Handler(app), "b.example": b.m.Handler(app)}
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tenant, ok := tenants[r.Host]; ok {
			tenant.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	visit := func(host, query, cookie string) (user string, set *http.Cookie) {
		t.Helper()
		r := httptest.NewRequest("GET", "http://"+host+"/"+query, nil)
		r.Header.Set("Cookie", cookie)
		rec := httptest.NewRecorder()
		site.ServeHTTP(rec, r)
		mustStatus(t, rec, 200)
		if cookies := rec.Result().Cookies(); len(cookies) == 1 {
			set = cookies[0]
		}
		return r.Header.Get("Seen"), set
	}
	_, atA := visit("a.example", "?login=alice", "")
	_, atB := visit("b.example", "?login=bob", "")
	mustBe(t, "name at a", atA.Name, "__Host-a")
	mustBe(t, "name at b", atB.Name, "__Host-b")
	both := "__Host-a=" + atA.Value + "; __Host-b=" + atB.Value
	for host, want := range map[string]string{"a.example": "alice", "b.example": "bob"} {
		user, _ := visit(host, "", both)
		mustBe(t, "user at "+host, user, want)
	}
	// The other tenant's token is worthless under this one's name: the name
	// is in the seal.
	user, _ := visit("b.example", "", "__Host-b="+atA.Value)
	mustBe(t, "user at b with the token of a", user, "")
	a.clock.Advance(time.Minute)
	user, _ = visit("a.example", "", both)
	mustBe(t, "user at a after its idle limit", user, "")
	user, _ = visit("b.example", "", both)
	mustBe(t, "user at b", user, "bob")
}

// stickySealer puts the name of a node before every token, for a load balancer
// that routes by it.
type stickySealer struct {
	core.Sealer
	node string // without a "-"
}

func (s stickySealer) Seal(dst, plain []byte) ([]byte, error) {
	return s.Sealer.Seal(append(dst, s.node+"-"...), plain)
}

func (s stickySealer) Open(dst []byte, value string) ([]byte, bool, error) {
	node, value, _ := strings.Cut(value, "-")
	plain, old, err := s.Sealer.Open(dst, value)
	return plain, old || node == "retired", err
}

// Feature W44 is not part of the library: a sealer around another does it. Fails
// if the manager counts on a format of its own, or takes a sealer for silent.
func TestSealerWithAPrefix(t *testing.T) {
	for name, sealer := range map[string]func(core.SealConfig) (core.Sealer, error){"securecookie": core.SecureCookie, "aesgcm": core.AESGCM} {
		t.Run(name, func(t *testing.T) {
			secret := core.GenerateSecret()
			n1 := newWorld(t)
			node := func(node string) *world {
				return newWorld(t, func(c *core.Config) {
					c.Store, c.Clock, c.Secrets = n1.store, n1.clock.Now, []core.Secret{secret}
					c.Sealer = func(cfg core.SealConfig) (core.Sealer, error) {
						cfg.MaxLen -= len(node) + 1
						inner, err := sealer(cfg)
						return stickySealer{inner, node}, err
					}
				})
			}
			first, second, retired := node("n1"), node("n2"), node("retired")
			c := first.client()
			c.use(func(s *core.Session) { s.Login("alice") })
			if !strings.HasPrefix(c.cookie, "__Host-session=n1-") {
				t.Fatalf("cookie %q", c.cookie)
			}
			c.w = second
			noCookie(t, c.use(func(s *core.Session) { mustBe(t, "user at another node", s.User(), "alice") }))
			c.use(func(s *core.Session) { s.Regenerate() })
			if !strings.HasPrefix(c.cookie, "__Host-session=n2-") {
				t.Errorf("cookie after a renewal at another node %q", c.cookie)
			}
			c.w = retired
			c.use(func(s *core.Session) { s.Regenerate() })
			c.w = first
			c.use(func(s *core.Session) { mustBe(t, "user", s.User(), "alice") })
			if !strings.HasPrefix(c.cookie, "__Host-session=n1-") {
				t.Errorf("cookie of a node that is gone, after a read %q", c.cookie)
			}
		})
	}
}
