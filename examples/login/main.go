// login is a site with a login, a page for those who are logged in, and a
// logout:
//
//	go run ./examples/login
//
// Then open http://127.0.0.1:8080; the password is "open sesame".
package main

import (
	"crypto/subtle"
	"fmt"
	"html"
	"log"
	"net/http"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// notice is shown once: whoever pops it takes it away.
var notice = core.NewKey[string]("notice")

func handler() http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /account", account)

	// SameSite cookies are no defence against forged requests by themselves.
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

func home(w http.ResponseWriter, r *http.Request) {
	s := core.Get(r.Context())
	text, _ := notice.Pop(s)
	fmt.Fprintf(w, "<!doctype html><title>Login</title><p>%s</p>", html.EscapeString(text))
	if s.User() == "" {
		fmt.Fprint(w, `<form method="post" action="/login">
			<input name="user" placeholder="user" autocomplete="username">
			<input name="password" type="password" autocomplete="current-password">
			<button>Log in</button></form>`)
		return
	}
	fmt.Fprintf(w, `<p>You are %s. <a href="/account">Your account</a></p>
		<form method="post" action="/logout"><button>Log out</button></form>`, html.EscapeString(s.User()))
}

func login(w http.ResponseWriter, r *http.Request) {
	user, password := r.FormValue("user"), r.FormValue("password")
	s := core.Get(r.Context())
	if !correct(user, password) {
		notice.Set(s, "That is not right.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.Login(user) // also replaces the token: one planted before is worthless now
	notice.Set(s, "Welcome.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	s := core.Get(r.Context())
	s.Destroy() // at once; an error would be answered in our place
	notice.Set(s, "You are logged out.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func account(w http.ResponseWriter, r *http.Request) {
	s := core.Get(r.Context())
	if s.User() == "" {
		http.Error(w, "log in first", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, "The account of %s, logged in at %s.\n", s.User(), s.LoginAt().Format("15:04"))
}

// correct stands for a look at your users and their password hashes.
func correct(user, password string) bool {
	return user != "" && subtle.ConstantTimeCompare([]byte(password), []byte("open sesame")) == 1
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler()))
}
