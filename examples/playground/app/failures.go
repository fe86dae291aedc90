package app

import (
	"errors"
	"net/http"
)

// after does what the parameters ask for before the failure.
func after(q *request) error {
	do, err := q.operation("put")
	if err == nil {
		do(q.Session())
	}
	return err
}

func failAfter(q *request) error {
	status, err := q.httpStatus("status", 500)
	if err != nil {
		return err
	}
	if err := after(q); err != nil {
		return err
	}
	return q.reply(status, answer{"ok": status < 400})
}

func panicAfter(q *request) error {
	if err := after(q); err != nil {
		return err
	}
	panic("as asked for")
}

func errorAfter(q *request) error {
	if err := after(q); err != nil {
		return err
	}
	q.status(http.StatusInternalServerError)
	return q.Fail(errors.New("as asked for"))
}
