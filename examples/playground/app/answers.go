package app

import (
	"fmt"
	"io"
	"net/http"
)

// putFirst sets v under k, as most routes of this file do on the way.
func putFirst(q *request) error {
	key, err := q.textKey()
	if err == nil {
		key.Set(q.Session(), q.param("v"))
	}
	return err
}

func statusOnly(q *request) error {
	code, err := q.httpStatus("code", http.StatusOK)
	if err != nil {
		return err
	}
	if err := putFirst(q); err != nil {
		return err
	}
	q.status(code)
	return q.NoContent(code)
}

func early(q *request) error {
	if _, err := q.key(); err != nil {
		return err
	}
	header := q.Writer().Header()
	header.Set("Link", "</>; rel=preload; as=document")
	if err := q.Hint(http.StatusEarlyHints); err != nil {
		return err
	}
	header.Del("Link")
	if err := putFirst(q); err != nil {
		return err
	}
	return q.ok(answer{"k": q.param("k")})
}

func flush(q *request) error {
	if _, err := q.key(); err != nil {
		return err
	}
	q.status(http.StatusOK)
	w := q.Writer()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if _, err := io.WriteString(w, "the response has begun\n"); err != nil {
		return err
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	if err := putFirst(q); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "err=%s\n", q.sessionErr())
	return err
}

// stream is a handler that stays: what it changes is saved by hand, step by
// step.
func stream(q *request) error {
	key, err := q.countKey()
	if err != nil {
		return err
	}
	n, err := q.number("n", 3, 1, 1000)
	if err != nil {
		return err
	}
	q.status(http.StatusOK)
	s, w := q.Session(), q.Writer()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for range n {
		count := key.Update(s, increment)
		event := fmt.Sprintf("data: %d\n\n", count)
		saved := s.Save(q.Request().Context())
		if saved != nil {
			event = fmt.Sprintf("event: error\ndata: %s\n\n", saved)
		}
		if _, err := io.WriteString(w, event); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if saved != nil {
			break
		}
	}
	return nil
}

func big(q *request) error {
	n, err := q.number("n", 0, 0, 1<<30)
	if err != nil {
		return err
	}
	if err := putFirst(q); err != nil {
		return err
	}
	q.status(http.StatusOK)
	w := q.Writer()
	w.Header().Set("Content-Type", "application/octet-stream")
	_, err = io.Copy(w, io.LimitReader(xs{}, int64(n)))
	return err
}

// xs is an endless row of the byte x.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
