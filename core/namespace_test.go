package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Feature P26. Fails if Destroy leaves the values of a namespace.
func TestDestroyEndsEveryNamespace(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		s.Namespace("a").Set("k", 1)
		s.Namespace("b").Set("k", 2)
	})
	old := *c
	rec := c.use(func(s *core.Session) {
		s.Destroy()
		mustBe(t, "namespaces", fmt.Sprint(s.Namespaces()), "[]")
	})
	if line, _ := sessionCookie(rec); !strings.Contains(line, "Max-Age=0") {
		t.Errorf("Set-Cookie %q", line)
	}
	mustBe(t, "records", w.count(), 0)
	old.use(func(s *core.Session) {
		mustBe(t, "values", s.Namespace("a").Len()+s.Namespace("b").Len(), 0)
	})
}

// Feature PX2. Fails if Clear of a namespace reaches beyond its prefix, or ends
// the session.
func TestClearOfOneNamespace(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		s.Namespace("a").Set("k", 1)
		s.Namespace("ab").Set("k", 2)
		s.Namespace("b").Set("k", 3)
	})
	var id core.ID
	c.use(func(s *core.Session) { id = s.ID() })
	noCookie(t, c.use(func(s *core.Session) { s.Namespace("a").Clear() }))
	c.use(func(s *core.Session) {
		mustBe(t, "ID", s.ID(), id)
		mustBe(t, "namespaces", fmt.Sprint(s.Namespaces()), "[ab b]")
		v, ok := s.Namespace("b").Get("k")
		mustBe(t, "value", fmt.Sprint(v, ok), "3 true")
	})
}
