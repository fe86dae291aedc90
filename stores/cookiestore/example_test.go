package cookiestore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// With a revocation list a copy of the cookie is worth nothing after a logout.
func ExampleNew() {
	secret := core.GenerateSecret() // in earnest: core.ParseSecret(os.Getenv("SESSION_SECRET"))
	sessions := core.MustNew(core.Config{
		Store: cookiestore.New(cookiestore.Config{
			Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{}),
		}),
		Secrets: []core.Secret{secret},
	})

	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login("user-42")
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		if err := core.Get(r.Context()).Destroy(); err != nil {
			http.Error(w, "you may still be logged in", core.Status(err))
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		fmt.Printf("user %q, cookie refused: %q\n", s.User(), s.Rejected())
	})

	site := sessions.Handler(mux)
	cookie := visit(site, "/login", "")
	visit(site, "/", cookie)
	visit(site, "/logout", cookie)
	visit(site, "/", cookie)
	// Output:
	// user "user-42", cookie refused: ""
	// user "", cookie refused: "revoked"
}

// To replace a secret, put the new one first and keep the old one until the
// last cookie sealed with it has expired. Cookies that are used meanwhile are
// sealed anew.
func ExampleNew_secretRotation() {
	site := func(secrets ...core.Secret) http.Handler {
		sessions := core.MustNew(core.Config{
			Store:   cookiestore.New(cookiestore.Config{}),
			Secrets: secrets,
		})
		return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			if r.URL.Path == "/login" {
				s.Login("user-42")
			}
			fmt.Printf("user %q\n", s.User())
		}))
	}
	oldSecret, newSecret := core.GenerateSecret(), core.GenerateSecret()

	cookie := visit(site(oldSecret), "/login", "")
	renewed := visit(site(newSecret, oldSecret), "/", cookie)
	visit(site(newSecret), "/", renewed)
	visit(site(newSecret), "/", cookie)
	// Output:
	// user "user-42"
	// user "user-42"
	// user "user-42"
	// user ""
}

// visit requests a page as a browser would and returns the cookie that it sets.
func visit(site http.Handler, path, cookie string) string {
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Cookie", cookie)
	w := httptest.NewRecorder()
	site.ServeHTTP(w, r)
	set, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	return set
}
