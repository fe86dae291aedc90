package app

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/coatcheck/sessions/core"
)

func touch(q *request) error { return q.JSON(http.StatusOK, answer{"ok": true}) }

func me(q *request) error {
	user := q.Session().User()
	if user == "" {
		return q.reply(http.StatusUnauthorized, answer{"user": ""})
	}
	return q.ok(answer{"user": user})
}

func facts(q *request) error {
	s := q.Session()
	return q.ok(answer{
		"id":          s.ID(),
		"is_new":      s.IsNew(),
		"dirty":       s.Dirty(),
		"created_at":  s.CreatedAt().Format(time.RFC3339Nano),
		"last_access": s.LastAccess().Format(time.RFC3339Nano),
		"expires_at":  s.ExpiresAt().Format(time.RFC3339Nano),
		"requests":    s.Requests(),
		"user":        s.User(),
		"rejected":    s.Rejected(),
		"keys":        slices.AppendSeq([]string{}, slices.Values(s.Keys())), // [], not null
	})
}

func login(q *request) error {
	user, err := q.required("user")
	if err != nil {
		return err
	}
	s := q.Session()
	s.Login(user)
	return q.ok(answer{"user": s.User()})
}

func logout(q *request) error {
	err := q.Session().Destroy()
	return q.ok(answer{"ok": true, "revoked": !errors.Is(err, core.ErrNotRevocable)})
}

func regenerate(q *request) error {
	q.Session().Regenerate()
	return q.ok(answer{"ok": true})
}

func setIdle(q *request) error {
	d, err := q.duration("d")
	if err != nil {
		return err
	}
	q.Session().SetIdleTimeout(d)
	return q.ok(answer{"ok": true})
}

func setExpiry(q *request) error {
	text, err := q.required("t")
	if err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return badParameter("parameter t must be a time such as 2030-01-02T15:04:05Z")
	}
	q.Session().SetExpiry(t)
	return q.ok(answer{"ok": true})
}

func persist(q *request) error {
	d, err := q.duration("d")
	if err != nil {
		return err
	}
	q.Session().Persist(d)
	return q.ok(answer{"ok": true})
}
