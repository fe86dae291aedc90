// two-servers runs two servers that share their sessions, behind a reverse
// proxy that sends every other request to the other one:
//
//	go run ./examples/two-servers
//
// Then open http://127.0.0.1:8080 and reload: the servers take turns, and the
// counter does not notice. Stop the program and start it again with the same
// SESSION_SECRET: the sessions are still there, in a directory. On several
// machines the only difference is the store: redisstore or sqlstore.
package main

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/filestore"
)

var visits = core.NewKey[int]("visits")

// server is one of several that open the same store with the same secrets.
func server(name, dir string, secret core.Secret) (http.Handler, *core.Manager, error) {
	store, err := filestore.New(filestore.Config{Dir: dir, Create: true})
	if err != nil {
		return nil, nil, err
	}
	sessions, err := core.New(core.Config{Store: store, Secrets: []core.Secret{secret}})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		n := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, "server %s, visit %d of %q\n", name, n, s.User())
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login(r.FormValue("user"))
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Destroy()
	})
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux)), sessions, nil
}

// balance sends requests to the targets in turn. It needs to know nothing of
// sessions: no sticky routing.
func balance(targets ...*url.URL) http.Handler {
	var next atomic.Uint64
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(targets[next.Add(1)%uint64(len(targets))])
		r.Out.Host = r.In.Host
	}}
}

func main() {
	dir, err := os.UserCacheDir()
	if err != nil {
		log.Fatal(err)
	}
	secret := core.GenerateSecret()
	if text := os.Getenv("SESSION_SECRET"); text != "" {
		if secret, err = core.ParseSecret(text); err != nil {
			log.Fatal(err)
		}
	}
	var targets []*url.URL
	for i, name := range []string{"one", "two"} {
		handler, _, err := server(name, filepath.Join(dir, "two-servers", "sessions"), secret)
		if err != nil {
			log.Fatal(err)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", 8081+i)
		targets = append(targets, &url.URL{Scheme: "http", Host: addr})
		go func() { log.Fatal(http.ListenAndServe(addr, handler)) }()
	}
	log.Print("http://127.0.0.1:8080")
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", balance(targets...)))
}
