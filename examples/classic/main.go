// classic is the oldest demonstration of sessions: a login, a counter, a logout,
// and a session that expires while you wait:
//
//	go run ./examples/classic
//
// Then open http://127.0.0.1:8080. Any name will do.
package main

import (
	"html/template"
	"log"
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/csrf"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// wait is how long a session still lives after a click on Expire.
const wait = 5 * time.Second

var visits = core.NewKey[int]("visits")

var page = template.Must(template.New("page").Parse(`<!doctype html>
<title>Classic</title>
{{if .Ending}}<meta http-equiv="refresh" content="{{.Left}}">{{end}}
{{if .Expired}}<p>Your session has expired. This is a new one.</p>{{end}}
<p>You are {{if .User}}{{.User}}{{else}}anonymous{{end}}, and this is visit {{.Visits}} of this session.</p>
{{if .Ending}}<p>The session ends in {{.Left}} seconds. Until then it is as good as ever; then this page comes back without it.</p>{{end}}
{{if .User}}
<form method="post" action="/logout"><input type="hidden" name="csrf_token" value="{{.Token}}"><button>Log out</button></form>
<form method="post" action="/expire"><input type="hidden" name="csrf_token" value="{{.Token}}"><button>Expire, and wait 5 seconds</button></form>
{{else}}
<form method="post" action="/login"><input type="hidden" name="csrf_token" value="{{.Token}}">
<input name="user" placeholder="your name" maxlength="100" required> <button>Log in</button></form>
{{end}}`))

// demo is the application. Its clock is another in tests.
type demo struct {
	clock func() time.Time
}

func handler(clock func() time.Time) http.Handler {
	d := demo{clock}
	sessions := core.MustNew(core.Config{
		Store: memorystore.New(memorystore.Config{Clock: clock}),
		Clock: clock,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.home)
	mux.HandleFunc("POST /login", d.login)
	mux.HandleFunc("POST /logout", d.logout)
	mux.HandleFunc("POST /expire", d.expire)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(csrf.Handler(mux)))
}

func (d demo) home(w http.ResponseWriter, r *http.Request) {
	s := core.Get(r.Context())
	data := struct {
		User, Token     string
		Visits, Left    int
		Ending, Expired bool
	}{
		User:    s.User(),
		Visits:  visits.Update(s, func(n int) int { return n + 1 }),
		Token:   csrf.Token(s),
		Expired: s.Rejected() == core.ReasonExpired,
	}
	left := s.Deadline().Sub(d.clock())
	data.Ending = left <= wait
	data.Left = int((left + time.Second - 1) / time.Second)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, data); err != nil {
		log.Print(err)
	}
}

func (d demo) login(w http.ResponseWriter, r *http.Request) {
	user := r.PostFormValue("user")
	if user == "" || len(user) > 100 {
		http.Error(w, "A name has 1 to 100 bytes.", http.StatusBadRequest)
		return
	}
	core.Get(r.Context()).Login(user)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (d demo) logout(w http.ResponseWriter, r *http.Request) {
	if core.Get(r.Context()).Destroy() != nil {
		return // the answer is an error page
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// expire ends the session soon: it can be used until then, and not be brought
// back after.
func (d demo) expire(w http.ResponseWriter, r *http.Request) {
	core.Get(r.Context()).SetExpiry(d.clock().Add(wait))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler(time.Now)))
}
