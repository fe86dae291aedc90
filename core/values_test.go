package core_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Promise 8. Fails if a value handed out under one type is handed out again
// after it was changed under another.
func TestChangeUnderAnotherType(t *testing.T) {
	type doc map[string]string
	typed := core.NewKey[doc]("m")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { typed.Set(s, doc{"a": "0"}) })
	c.use(func(s *core.Session) {
		untyped, _ := s.Get("m")
		d, _ := typed.Get(s)
		d["a"] = "1"
		again, _ := s.Get("m")
		mustBe(t, "untyped", again.(map[string]any)["a"], any("1"))
		again.(map[string]any)["b"] = "2"
		d, _ = typed.Get(s)
		mustBe(t, "typed", d["b"], "2")
		d["c"] = "3"
		_ = untyped
	})
	c.use(func(s *core.Session) {
		d, _ := typed.Get(s)
		mustBe(t, "stored", fmt.Sprint(d), "map[a:1 b:2 c:3]")
	})
}

func TestNilUnderAnUntypedKey(t *testing.T) {
	k := core.NewKey[any]("k")
	w := newWorld(t)
	w.client().use(func(s *core.Session) {
		k.Update(s, func(any) any { return nil })
		v, ok := k.Get(s)
		mustBe(t, "value", v, nil)
		mustBe(t, "ok", ok, true)
	})
}

type hidden struct {
	N int
	m map[string]int
}

func (h hidden) MarshalJSON() ([]byte, error) { return json.Marshal(h.m) }

func (h *hidden) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &h.m) }

type tagged struct {
	N int
	M map[string]int `json:"-" cbor:"m"`
}

type tree struct {
	Kids   []*tree
	Name   string
	Parent *tree `json:"-"`
	up     *tree
}

func (t *tree) add(name string) *tree {
	k := &tree{Name: name, Parent: t, up: t}
	t.Kids = append(t.Kids, k)
	return k
}

// Promise 8. Fails if mutability is judged by other fields than those stored.
func TestChangesWhereTheCodecLooks(t *testing.T) {
	h := core.NewKey[hidden]("h")
	w := newWorld(t, func(c *core.Config) { c.Codec = core.JSON })
	c := w.client()
	c.use(func(s *core.Session) { h.Set(s, hidden{m: map[string]int{"a": 1}}) })
	c.use(func(s *core.Session) { v, _ := h.Get(s); v.m["a"] = 2 })
	c.use(func(s *core.Session) { v, _ := h.Get(s); mustBe(t, "hidden", v.m["a"], 2) })

	k := core.NewKey[tagged]("t")
	c = newWorld(t).client()
	c.use(func(s *core.Session) { k.Set(s, tagged{M: map[string]int{"a": 1}}) })
	c.use(func(s *core.Session) { v, _ := k.Get(s); v.M["a"] = 2 })
	c.use(func(s *core.Session) { v, _ := k.Get(s); mustBe(t, "tagged", v.M["a"], 2) })
}

// Fails if depth is counted along fields that are not stored, or if reading
// what was stored is refused for its depth.
func TestDepthIsThatOfTheEncoding(t *testing.T) {
	k := core.NewKey[*tree]("tree")
	c := newWorld(t).client()
	root := &tree{Name: "root"}
	for n, i := root, 0; i < 9; i++ {
		n = n.add("kid")
	}
	mustStatus(t, c.use(func(s *core.Session) { k.Set(s, root) }), 200)
	mustStatus(t, c.use(func(s *core.Session) {
		if _, ok := s.Get("tree"); !ok {
			t.Error("not read back")
		}
	}), 200)
}
