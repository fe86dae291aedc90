// Package core is HTTP sessions for Go: a [Manager] that gives every request a
// [Session], over a [Store] that keeps them.
//
//	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
//	visits := core.NewKey[int]("visits")
//
//	mux := http.NewServeMux()
//	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
//		s := core.Get(r.Context())
//		n := visits.Update(s, func(n int) int { return n + 1 })
//		fmt.Fprintf(w, "visit %d\n", n)
//	})
//	http.ListenAndServe("127.0.0.1:8080", sessions.Handler(mux))
//
// Gin, Echo and Chi have adapters of four functions each, beside this package.
//
// # One request
//
// [Manager.Handler] puts a Session into the request's context. Nothing happens
// until a handler uses it: then the cookie is opened, the [Record] loaded, and
// each value decoded when it is asked for. At the first byte of the response,
// or when the handler returns, what changed is stored in one step, and only
// then does the response begin. A request that changed nothing stores nothing
// and sets no cookie; a session that never held anything does not exist.
//
// If the changes cannot be stored, the handler's answer is not sent:
// [Config].OnError answers instead. If the handler answers with a status of
// 500 or more, or panics, the changes are dropped. [Session.Destroy] alone
// takes effect at once and in any case.
//
// # Concurrent requests
//
// A record has a version, and an update is a compare-and-swap. A request that
// loses reloads the record and does its own operations again, so requests that
// change different keys do not see each other. For the same key,
// [Key.Update] is atomic across requests and machines, [Key.Pop] gives a value
// to one request only, and of two [Key.Set] the later wins. A session that was
// destroyed, or whose token was replaced, refuses the changes of requests that
// still hold the old one: [ErrGone], answered with 409.
//
// # Tokens
//
// The cookie holds a sealed token: 128 bits that name the record, its [ID], and
// 128 bits of proof, of which the record keeps only a hash. [Session.Login]
// and [Session.Regenerate] replace the proof. The seal, made by a [Sealer] from
// [Config].Secrets, keeps junk away from the store.
//
// # Values
//
// Declare a [Key] once for each value. Session.Get, Set and their like do
// without, and [Session.Namespace] gives applications that share a session
// separate rooms. Values are encoded by a [Codec], CBOR unless configured.
//
// # Errors
//
// Methods that change a session return nothing; [Session.Err] is sticky and
// tells the first thing that went wrong. A handler need not ask: while it is
// set, no success is sent. [Status] maps errors to HTTP.
package core
