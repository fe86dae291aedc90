// Package peers puts this library beside the session libraries in use today:
// the same requests through each, on the framework that each is made for, with
// what the bare framework costs next to them.
//
//	go test .                                       # is every column right?
//	go test -run '^$' -bench . -benchmem .          # every figure, once
//	go test -run '^$' -bench 'S3/chi' -benchmem .   # some of them
//	go run ./cmd/measure                            # docs/performance.md, docs/costs.md
//
// A [Column] is a library with a store and settings; a [Scenario] is a kind of
// request. Both are tables, and every benchmark is a cell. A column is checked
// before it is timed: what it reads is what was written, its counter counts,
// its login shows.
//
// # Fairness
//
// Each library is used as its own documentation has it, with cookies of the
// same attributes. The handlers of a framework are the same but for the calls
// of the library, and answer the same two bytes. Nobody's work is left out:
// this library runs with versions, proofs and replay, which others do not
// have; others renew no tokens, or sign nothing, and the pages say so.
//
// This is a module of its own, so that whoever uses the library does not
// inherit its peers.
package peers
