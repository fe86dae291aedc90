package app

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/coatcheck/sessions/core"
)

// request is a call with its parameters, as handlers see it.
type request struct {
	call
	srv *server
}

// sessionErr is the text of the session's error, or "".
func (q *request) sessionErr() string {
	if err := q.Session().Err(); err != nil {
		return err.Error()
	}
	return ""
}

// status notes the answer's status in the history.
func (q *request) status(status int) { recordStatus(q.Request().Context(), status) }

func badParameter(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// param returns a parameter, or "".
func (q *request) param(name string) string { return q.Request().FormValue(name) }

// required returns a parameter that must not be empty.
func (q *request) required(name string) (string, error) {
	if v := q.param(name); v != "" {
		return v, nil
	}
	return "", badParameter("parameter %s is missing", name)
}

// maxKey is the longest key that core.NewKey accepts; it panics beyond that,
// since keys are constants in other programs than this one.
const maxKey = 512

// key returns the parameter k.
func (q *request) key() (string, error) {
	k, err := q.required("k")
	if err == nil && (len(k) > maxKey || !utf8.ValidString(k)) {
		err = badParameter("parameter k must be at most %d bytes of UTF-8", maxKey)
	}
	return k, err
}

// number returns a parameter from min to max, or def if it is missing.
func (q *request) number(name string, def, min, max int) (int, error) {
	text := q.param(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < min || n > max {
		return 0, badParameter("parameter %s must be a number from %d to %d", name, min, max)
	}
	return n, nil
}

// duration returns a parameter such as 90s.
func (q *request) duration(name string) (time.Duration, error) {
	text, err := q.required(name)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, badParameter("parameter %s must be a duration such as 90s or 1h30m", name)
	}
	return d, nil
}

// httpStatus returns a parameter that is a final status.
func (q *request) httpStatus(name string, def int) (int, error) {
	return q.number(name, def, 200, 599)
}

// operation is a change that several routes can be told to make.
type operation func(*core.Session) answer

// operation returns what the parameters op, k and v ask for.
func (q *request) operation(def string) (operation, error) {
	op, v := q.param("op"), q.param("v")
	if op == "" {
		op = def
	}
	switch op {
	case "read":
		return func(s *core.Session) answer { s.Keys(); return answer{} }, nil
	case "put", "write":
		key, err := q.textKey()
		return func(s *core.Session) answer { key.Set(s, v); return answer{} }, err
	case "incr":
		key, err := q.countKey()
		return func(s *core.Session) answer { key.Update(s, increment); return answer{} }, err
	case "pop":
		return func(s *core.Session) answer {
			v, _ := flashKey.Pop(s)
			return answer{"v": v}
		}, nil
	case "destroy":
		return func(s *core.Session) answer { s.Destroy(); return answer{} }, nil
	case "regenerate":
		return func(s *core.Session) answer { s.Regenerate(); return answer{} }, nil
	case "login":
		if v == "" {
			v = q.param("user")
		}
		if v == "" {
			return nil, badParameter("parameter v, the user, is missing")
		}
		return func(s *core.Session) answer { s.Login(v); return answer{} }, nil
	}
	return nil, badParameter("parameter op must be read, write, incr, pop, destroy, regenerate or login")
}

// textKey and countKey are the typed keys of the parameter k.
func (q *request) textKey() (core.Key[string], error) { return typedKey[string](q) }
func (q *request) countKey() (core.Key[int], error)   { return typedKey[int](q) }

// typedKey makes a key of the parameter k. Other programs declare their keys
// as package variables.
func typedKey[T any](q *request) (key core.Key[T], err error) {
	name, err := q.key()
	if err == nil {
		key = core.NewKey[T](name)
	}
	return key, err
}

func increment(n int) int { return n + 1 }
