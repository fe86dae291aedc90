// sse streams server-sent events that change the session as they go:
//
//	go run ./examples/sse
//
// Then open http://127.0.0.1:8080. A response like this lasts longer than one
// commit, so it saves each change itself, before it tells the client.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

var ticks = core.NewKey[int]("ticks")

const page = `<!doctype html><title>Events</title>
<h1 id="n">…</h1>
<form method="post" action="/reset"><button>End the session</button></form>
<script>
const events = new EventSource("/events");
events.onmessage = e => document.getElementById("n").textContent = e.data;
events.addEventListener("end", e => { events.close(); document.getElementById("n").textContent = e.data; });
</script>`

// handler streams an event at every tick; each stream has a ticker of its own.
func handler(newTicker func() <-chan time.Time) http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) })
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Destroy()
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		s, out := core.Get(r.Context()), http.NewResponseController(w)
		tick := newTicker()
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			n := ticks.Update(s, func(n int) int { return n + 1 })
			// The first Save also sets the cookie; it comes before a byte is sent.
			switch err := s.Save(r.Context()); {
			case errors.Is(err, core.ErrGone): // logged out in another tab
				fmt.Fprint(w, "event: end\ndata: the session has ended\n\n")
				return
			case err != nil:
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", n)
			if out.Flush() != nil {
				return
			}
			select {
			case <-tick:
			case <-r.Context().Done():
				return
			}
		}
	})
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

func main() {
	everySecond := func() <-chan time.Time { return time.Tick(time.Second) }
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler(everySecond)))
}
