package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

func slow(q *request) error {
	ms, err := q.number("ms", 0, 0, 60_000)
	if err != nil {
		return err
	}
	do, err := q.operation("read")
	if err != nil {
		return err
	}
	s := q.Session()
	s.User() // the first use loads the session
	q.srv.sleep(time.Duration(ms) * time.Millisecond)
	body := do(s)
	body["ok"] = true
	return q.ok(body)
}

func race(q *request) error {
	n, err := q.number("n", 8, 1, 200)
	if err != nil {
		return err
	}
	s := q.Session()
	s.User()
	same := make([]bool, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			key := core.NewKey[int](fmt.Sprint("race", i))
			key.Set(s, i)
			v, ok := key.Get(s)
			same[i] = ok && v == i
		})
	}
	group.Wait()
	ok := true
	for _, fine := range same {
		ok = ok && fine
	}
	return q.ok(answer{"ok": ok, "n": n})
}

// leak shows a mistake: a session is useless after its request.
func leak(q *request) error {
	key, err := q.textKey()
	if err != nil {
		return err
	}
	s, v := q.Session(), q.param("v")
	s.User()
	q.srv.leaks.Add(1)
	context.AfterFunc(q.Request().Context(), func() {
		defer q.srv.leaks.Done()
		for end := time.Now().Add(q.srv.leakFor); time.Now().Before(end); time.Sleep(time.Millisecond) {
			key.Set(s, v)
		}
	})
	return q.ok(answer{"ok": true})
}
