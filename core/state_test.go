package core

import (
	"reflect"
	"testing"
	"time"
)

// What one request knew must not be there when another takes the state over:
// not its token, not the list of what it set, not what is behind the end of
// that list. Fails if dispose empties any of it only in part.
func TestStateOfAnEndedRequestIsEmpty(t *testing.T) {
	st := &state{now: time.Now(), first: []byte("x"), rivals: make([]Record, 2), reason: ReasonExpired, user: "u", line: "l", life: 1}
	st.rec = Record{ID: ID{1}, User: "u", Values: []byte("v"), Proof: [32]byte{1}}
	st.found, st.returning, st.inited, st.readOnly, st.reseal, st.force = true, true, true, true, true, true
	st.rotate, st.login, st.counted, st.gone, st.owed, st.cookie = true, true, true, true, true, setCookie
	st.limits = limits{1, time.Now(), true}
	st.seen, st.tok[3], st.scratch[119] = 7, 1, 1
	unlocked := 0
	st.unlock = func() { unlocked++ }
	s := &Session{m: &Manager{}, phase: ended, state: st}
	for _, name := range []string{"a", "b", "c"} {
		s.do(op{kind: opSet, name: name, data: []byte(name)})
	}
	st.lives = []live{{name: "a", value: "v"}}
	st.ops = st.ops[:2] // the third lies behind the end
	for i, v := 0, reflect.ValueOf(st).Elem(); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("the test has nothing in %s", v.Type().Field(i).Name)
		}
	}

	s.dispose()
	if s.state != nil || unlocked != 1 {
		t.Errorf("the session still has its state, or was unlocked %d times", unlocked)
	}
	ops, changes := st.ops[:cap(st.ops)], st.changes[:cap(st.changes)]
	if len(st.ops) != 0 || len(ops) == 0 || len(st.changes) != 0 || len(changes) == 0 {
		t.Errorf("%d operations of %d, %d changes of %d: want none, and room", len(st.ops), len(ops), len(st.changes), len(changes))
	}
	for i := range ops {
		if ops[i].name != "" || ops[i].data != nil || ops[i].fn != nil {
			t.Errorf("operation %d is left", i)
		}
	}
	for i := range changes {
		if changes[i].name != "" || changes[i].data != nil {
			t.Errorf("change %d is left", i)
		}
	}
	st.ops, st.changes = nil, nil
	if !reflect.ValueOf(*st).IsZero() {
		t.Errorf("left: %+v", *st)
	}
	if s.id() != (ID{1}) {
		t.Errorf("the session has forgotten its name: %v", s.id())
	}
	s.dispose() // a second time
}

// A request with many changes does not make later ones keep its room.
func TestRoomIsBounded(t *testing.T) {
	if list := emptied(make([]op, 3, 1000)); cap(list) != 0 {
		t.Errorf("room for %d", cap(list))
	}
}
