package core_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// everything calls each exported method of v, with zero values, and returns
// what they said that was not zero.
func everything(v any) (said []string) {
	val := reflect.ValueOf(v)
	for i := range val.NumMethod() {
		m, name := val.Method(i), val.Type().Method(i).Name
		args := make([]reflect.Value, m.Type().NumIn())
		for j := range args {
			args[j] = reflect.Zero(m.Type().In(j))
			switch m.Type().In(j).String() {
			case "context.Context":
				args[j] = reflect.ValueOf(context.Background())
			case "string":
				args[j] = reflect.ValueOf("k")
			}
		}
		for _, out := range m.Call(args) {
			if seq, ok := out.Interface().(iter.Seq2[string, any]); ok {
				for k, v := range seq {
					said = append(said, fmt.Sprint(name, ": ", k, " ", v))
				}
				continue
			}
			if !out.IsZero() && !(out.Kind() == reflect.Slice && out.Len() == 0) {
				said = append(said, fmt.Sprint(name, ": ", out.Interface()))
			}
		}
	}
	return said
}

// A session that a goroutine keeps is of no use after its request, whatever is
// asked of it, and tells nothing of the requests that came after; a log may
// still have its name. Fails if a method looks at the state before the phase.
func TestEndedSessionTellsNothing(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.client(), w.client()
	var kept, unused *core.Session
	var id core.ID
	alice.use(func(s *core.Session) { s.Login("alice"); s.Set("k", "of alice") })
	alice.use(func(s *core.Session) {
		kept, id = s, s.ID()
		s.Set("k2", []string{"of alice"})
		s.Namespace("n").Set("k", 1)
	})
	alice.use(func(s *core.Session) { unused = s })
	bob.use(func(s *core.Session) { s.Login("bob"); s.Set("k", "of bob"); s.Namespace("n").Set("k", "of bob") })

	nameless := "sessions.Session(" + core.ID{}.String() + ")"
	check := func(when string) {
		for _, v := range []any{kept, kept.Namespace("n"), unused, unused.Namespace("n")} {
			for _, what := range everything(v) {
				name, said, _ := strings.Cut(what, ": ")
				switch name {
				case "Err", "Save", "Destroy":
					if said == core.ErrEnded.Error() {
						continue
					}
				case "IsNew", "EncodeURL", "MarshalJSON", "Namespace", "Name":
					continue // true, what was given, null, a view, its name
				case "String", "GoString", "LogValue":
					if said == "sessions.Session("+id.String()+")" && v == any(kept) || said == nameless && v == any(unused) {
						continue
					}
				}
				t.Errorf("%s, %T says %s", when, v, what)
			}
		}
	}
	check("after its request")
	bob.use(func(s *core.Session) {
		s.Get("k")
		check("while another is served")
		s.Set("k", "of bob still")
	})
	mustBe(t, "bob's value", bob.get("k"), any("of bob still"))
	mustBe(t, "alice's user", alice.user(), "alice")
}

// Goroutines that outlive their requests and use the session all the same do
// not meet the requests of others. Run with -race.
func TestEndedSessionsRace(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			mine := fmt.Sprint("user", n)
			c := w.client()
			c.use(func(s *core.Session) { s.Login(mine); s.Set("k", mine) })
			for range 200 {
				c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
					for range 2 {
						all.Go(func() {
							if u := s.User(); u != "" && u != mine {
								t.Errorf("%s meets %s", mine, u)
							}
							if v, ok := s.Get("k"); ok && v != any(mine) {
								t.Errorf("%s finds %v", mine, v)
							}
							s.Set("late", mine)
						})
					}
				})
			}
			if v := c.get("k"); v != any(mine) {
				t.Errorf("%s has %v", mine, v)
			}
		})
	}
	all.Wait()
}
