package app

import (
	"net/http"

	"github.com/coatcheck/sessions/core"
)

// call is one request in the hands of a framework. Its answering methods are
// the framework's own.
type call interface {
	Session() *core.Session
	Request() *http.Request
	Writer() http.ResponseWriter

	JSON(status int, body any) error
	Text(status int, text string) error
	HTML(status int, page []byte) error
	NoContent(status int) error
	Redirect(status int, url string) error
	// Hint sends an informational (1xx) response before the answer.
	Hint(status int) error
	// Fail reports an error as handlers of this framework do, which ends in
	// a status of 500. The handler returns what it returns.
	Fail(err error) error
}

const jsonType = "application/json"

// asJSON makes the content type exact: some frameworks add a charset, which
// JSON has none of.
func asJSON(w http.ResponseWriter) { w.Header().Set("Content-Type", jsonType) }

// hint sends an informational response past a framework whose writer takes
// the first status that it sees for the answer's.
func hint(w http.ResponseWriter, status int) {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	w.WriteHeader(status)
}
