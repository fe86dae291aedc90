package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"github.com/coatcheck/sessions/core"
)

// answer is the body of a JSON answer.
type answer map[string]any

func errorAnswer(text string) answer { return answer{"error": text} }

// refusal is an error that a handler returns instead of an answer.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// serve runs a route on a call. What it returns is for the framework.
func (srv *server) serve(rt *route, c call) error {
	q := &request{call: c, srv: srv}
	err := q.check(rt)
	if err == nil {
		err = rt.run(q)
	}
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		return q.refuse(refused)
	}
	return err
}

// check refuses what no handler should see.
func (q *request) check(rt *route) error {
	r := q.Request()
	if rt.changes {
		// CrossOriginProtection takes every GET for safe; some here are not.
		probe := *r
		probe.Method = http.MethodPost
		if err := q.srv.csrf.Check(&probe); err != nil {
			return &refusal{http.StatusForbidden, err.Error()}
		}
	}
	const inMemory = 1 << 20
	if err := r.ParseMultipartForm(inMemory); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return badParameter("the parameters cannot be read: %v", err)
	}
	return nil
}

// ok answers a success of a route that used the session.
func (q *request) ok(body answer) error { return q.reply(http.StatusOK, body) }

// reply adds what the session has to say. A form of the page is sent back to
// the page instead.
func (q *request) reply(status int, body answer) error {
	body["err"] = q.sessionErr()
	q.status(status)
	if r := q.Request(); r.Method == http.MethodPost && wantsHTML(r) {
		if status >= 400 {
			return q.HTML(status, errorPage(status, "The request was answered with this status."))
		}
		return q.Redirect(http.StatusSeeOther, "/")
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		return q.NoContent(status)
	}
	return q.JSON(status, body)
}

// plain answers a success of a route that did not use the session.
func (q *request) plain(body any) error {
	q.status(http.StatusOK)
	if r := q.Request(); r.Method == http.MethodPost && wantsHTML(r) {
		return q.Redirect(http.StatusSeeOther, "/")
	}
	return q.JSON(http.StatusOK, body)
}

// refuse answers with the refusal that a handler returned.
func (q *request) refuse(e *refusal) error {
	body := errorAnswer(e.text)
	if e.status != http.StatusBadRequest && e.status != http.StatusForbidden {
		body["err"] = q.sessionErr() // a bad request came to no session
	}
	return q.srv.answerError(q.call, e.status, body)
}

// refuse answers a call that no handler served.
func (srv *server) refuse(c call, status int) error {
	return srv.answerError(c, status, errorAnswer(strings.ToLower(http.StatusText(status))))
}

func (srv *server) answerError(c call, status int, body answer) error {
	recordStatus(c.Request().Context(), status)
	if wantsHTML(c.Request()) {
		return c.HTML(status, errorPage(status, body["error"].(string)))
	}
	return c.JSON(status, body)
}

// onError is [core.Config].OnError: it answers in place of a handler whose
// session could not be read or saved.
func (srv *server) onError(w http.ResponseWriter, r *http.Request, err error) {
	status := core.Status(err)
	if named := (*core.KeyError)(nil); errors.As(err, &named) {
		status = http.StatusBadRequest // names come from the client here
	}
	recordStatus(r.Context(), status)
	if wantsHTML(r) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		w.Write(errorPage(status, err.Error()))
		return
	}
	asJSON(w)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(errorAnswer(err.Error()))
}

func (srv *server) logPanic(r *http.Request, v any) {
	srv.log.Error("handler panicked", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("panic", v))
}

// wantsHTML tells a browser that follows a link or sends a form from a client
// of the API.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

var errorTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>{{.Status}} {{.Name}}</title>
<h1>{{.Status}} {{.Name}}</h1>
<p>{{.Text}}</p>
<p><a href="/">Back to the page</a></p>
</html>
`))

// errorPage is what a browser sees of an error.
func errorPage(status int, text string) []byte {
	var b bytes.Buffer
	data := struct {
		Status     int
		Name, Text string
	}{status, http.StatusText(status), text}
	if err := errorTemplate.Execute(&b, data); err != nil {
		return []byte(http.StatusText(status))
	}
	return b.Bytes()
}
