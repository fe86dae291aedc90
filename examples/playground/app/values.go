package app

import (
	"errors"
	"strings"

	"github.com/coatcheck/sessions/core"
)

// flashKey is the one-time value.
var flashKey = core.NewKey[string]("flash")

func put(q *request) error {
	key, err := q.textKey()
	if err != nil {
		return err
	}
	const most = 64 << 20 // beyond any limit of the library
	size, err := q.number("size", -1, 0, most)
	if err != nil {
		return err
	}
	v := q.param("v")
	if size >= 0 {
		v = strings.Repeat("x", size)
	}
	key.Set(q.Session(), v)
	return q.ok(answer{"k": key.String()})
}

func getText(q *request) error { return q.readText(q.Session()) }

// readText answers with the string under k.
func (q *request) readText(in core.View) error {
	key, err := q.textKey()
	if err != nil {
		return err
	}
	// Lookup, not Get: that the value has another type is an answer here.
	v, err := key.Lookup(in)
	return q.ok(answer{"k": key.String(), "v": v, "ok": err == nil})
}

func deleteValue(q *request) error {
	key, err := q.key()
	if err != nil {
		return err
	}
	q.Session().Delete(key)
	return q.ok(answer{"ok": true})
}

func clearValues(q *request) error {
	q.Session().Clear()
	return q.ok(answer{"ok": true})
}

func incr(q *request) error {
	key, err := q.countKey()
	if err != nil {
		return err
	}
	return q.ok(answer{"n": key.Update(q.Session(), increment)})
}

func count(q *request) error {
	key, err := q.countKey()
	if err != nil {
		return err
	}
	return q.ok(answer{"n": key.GetOr(q.Session(), 0)})
}

func mutate(q *request) error {
	key, err := typedKey[map[string]string](q)
	if err != nil {
		return err
	}
	f, err := q.required("f")
	if err != nil {
		return err
	}
	s := q.Session()
	m, ok := key.Get(s)
	if !ok {
		m = map[string]string{}
		key.Set(s, m)
	}
	m[f] = q.param("v") // found and saved without another Set
	return q.ok(answer{"ok": true})
}

func getMap(q *request) error {
	key, err := typedKey[map[string]string](q)
	if err != nil {
		return err
	}
	return q.ok(answer{"k": key.String(), "v": key.GetOr(q.Session(), map[string]string{})})
}

func setFlash(q *request) error {
	v := q.param("v")
	flashKey.Set(q.Session(), v)
	return q.ok(answer{"v": v, "ok": true})
}

func popFlash(q *request) error {
	v, ok := flashKey.Pop(q.Session())
	return q.ok(answer{"v": v, "ok": ok})
}

func putNamespaced(q *request) error {
	ns, err := q.namespace()
	if err != nil {
		return err
	}
	key, err := q.textKey()
	if err != nil {
		return err
	}
	key.Set(ns, q.param("v"))
	return q.ok(answer{"k": key.String()})
}

func getNamespaced(q *request) error {
	ns, err := q.namespace()
	if err != nil {
		return err
	}
	return q.readText(ns)
}

func (q *request) namespace() (*core.Namespace, error) {
	app, err := q.required("app")
	if err != nil {
		return nil, err
	}
	ns := q.Session().Namespace(app)
	if named := (*core.KeyError)(nil); errors.As(q.Session().Err(), &named) {
		return nil, badParameter("parameter app: %s", named.Rule)
	}
	return ns, nil
}
