// key-rotation keeps sessions in nothing but the cookie, sealed with a list of
// secrets: the newest seals, all open. To rotate, put a new one first:
//
//	export SESSION_SECRETS="$(openssl rand -base64 32)"
//	go run ./examples/key-rotation
//
//	export SESSION_SECRETS="$(openssl rand -base64 32) $SESSION_SECRETS"
//	go run ./examples/key-rotation
//
// Cookies of the old secret stay valid and are sealed anew when they come. Drop
// the old one after AbsoluteTimeout: no live session can be sealed with it.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

var name = core.NewKey[string]("name")

func handler(secrets string) (http.Handler, error) {
	var list []core.Secret
	for _, text := range strings.Fields(secrets) {
		secret, err := core.ParseSecret(text)
		if err != nil {
			return nil, err
		}
		list = append(list, secret)
	}
	sessions, err := core.New(core.Config{
		// Without a revocation list a copied cookie is good until it expires,
		// logout or not: keep its life short.
		Store:           cookiestore.New(cookiestore.Config{}),
		Secrets:         list,
		IdleTimeout:     10 * time.Minute,
		AbsoluteTimeout: time.Hour,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /name", func(w http.ResponseWriter, r *http.Request) {
		name.Set(core.Get(r.Context()), r.FormValue("name"))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		fmt.Fprintf(w, "hello %s\n", name.GetOr(s, "stranger"))
		if why := s.Rejected(); why != "" {
			log.Printf("cookie refused: %s", why)
		}
	})
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux)), nil
}

func main() {
	h, err := handler(os.Getenv("SESSION_SECRETS"))
	if err != nil {
		log.Fatal("SESSION_SECRETS: ", err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", h))
}
