package app

import (
	"errors"
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
)

// device is one session of a user.
type device struct {
	ID         core.ID   `json:"id"`
	Current    bool      `json:"current"`
	CreatedAt  time.Time `json:"created_at"`
	LastAccess time.Time `json:"last_access"`
}

// devices returns the user's sessions, or a refusal: nobody is logged in, or
// the store cannot list them.
func (q *request) devices() ([]device, error) {
	s := q.Session()
	infos, err := q.srv.sessions.UserSessions(q.Request().Context(), s.User())
	if err != nil {
		return nil, adminError(err)
	}
	if s.User() == "" {
		return nil, &refusal{http.StatusUnauthorized, "nobody is logged in"}
	}
	list := []device{}
	for _, i := range infos {
		list = append(list, device{i.ID, i.ID == s.ID(), i.CreatedAt, i.LastAccess})
	}
	return list, nil
}

// adminError is the answer to a failed call of the manager.
func adminError(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return &refusal{http.StatusNotImplemented, err.Error()}
	}
	return &refusal{core.Status(err), err.Error()}
}

func listSessions(q *request) error {
	list, err := q.devices()
	if err != nil {
		return err
	}
	return q.ok(answer{"sessions": list})
}

func revoke(q *request) error {
	text, err := q.required("id")
	if err != nil {
		return err
	}
	id, err := core.ParseID(text)
	if err != nil {
		return badParameter("parameter id: %v", err)
	}
	list, err := q.devices()
	if err != nil {
		return err
	}
	s := q.Session()
	for _, d := range list {
		switch {
		case d.ID != id:
			continue
		case d.Current:
			err = s.Destroy() // which also clears the cookie
		default:
			_, err = q.srv.sessions.Revoke(q.Request().Context(), id)
		}
		if err != nil {
			return adminError(err)
		}
		return q.ok(answer{"ok": true})
	}
	return &refusal{http.StatusNotFound, "no such session of this user"}
}

func revokeOthers(q *request) error {
	if _, err := q.devices(); err != nil {
		return err
	}
	s := q.Session()
	n, err := q.srv.sessions.RevokeUser(q.Request().Context(), s.User(), s.ID())
	if err != nil {
		return adminError(err)
	}
	return q.ok(answer{"revoked": n})
}
