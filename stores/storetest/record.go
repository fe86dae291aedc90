package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// life is how long the records of the kit live: long enough for any engine's
// own clock, which the fake one leaves behind.
const life = time.Hour

func newID() (id core.ID) {
	rand.Read(id[:])
	return id
}

// record returns a plain record that lives for an hour. Its times have odd
// milliseconds, so that a store which keeps seconds is found out.
func (t *trial) record() core.Record {
	now := t.clock.now()
	r := core.Record{
		ID:          newID(),
		Version:     1,
		Generation:  1,
		Proof:       [32]byte{31: 1},
		CreatedAt:   now,
		LastAccess:  now,
		ExpiresAt:   now.Truncate(time.Second).Add(life + 567*time.Millisecond),
		IdleTimeout: 2 * life,
		Deadline:    now.Add(10*life + 89*time.Millisecond),
		Values:      []byte("some values"),
	}
	r.Horizon = r.Deadline
	return r
}

// fullRecord returns a record with something telling in every field.
func (t *trial) fullRecord() core.Record {
	r := t.record()
	now := t.clock.now()
	r.Generation = 1<<62 + 1
	for i := range r.Proof {
		r.Proof[i], r.Previous[i] = byte(i*8+3), byte(255-i*8)
	}
	r.PreviousUntil = now.Add(20*time.Second + 21*time.Millisecond)
	r.User = "user-42"
	r.CreatedAt = now.Add(-3*time.Hour - 1*time.Millisecond)
	r.LoginAt = now.Add(-2*time.Hour - 999*time.Millisecond)
	r.LastAccess = now.Add(-1*time.Minute - 123*time.Millisecond)
	r.IdleTimeout = 3*time.Hour + 7*time.Millisecond
	r.Horizon = r.Deadline.Add(77*24*time.Hour + 1*time.Millisecond)
	r.Persistent = true
	r.Requests = 1<<62 + 3
	r.Values = make([]byte, 256)
	for i := range r.Values {
		r.Values[i] = byte(i)
	}
	return r
}

// fields are the fields of a record, to compare and to name.
var fields = []struct {
	name string
	get  func(r *core.Record) any
}{
	{"ID", func(r *core.Record) any { return r.ID }},
	{"Version", func(r *core.Record) any { return r.Version }},
	{"Generation", func(r *core.Record) any { return r.Generation }},
	{"Proof", func(r *core.Record) any { return r.Proof }},
	{"Previous", func(r *core.Record) any { return r.Previous }},
	{"PreviousUntil", func(r *core.Record) any { return r.PreviousUntil }},
	{"User", func(r *core.Record) any { return r.User }},
	{"CreatedAt", func(r *core.Record) any { return r.CreatedAt }},
	{"LoginAt", func(r *core.Record) any { return r.LoginAt }},
	{"LastAccess", func(r *core.Record) any { return r.LastAccess }},
	{"ExpiresAt", func(r *core.Record) any { return r.ExpiresAt }},
	{"IdleTimeout", func(r *core.Record) any { return r.IdleTimeout }},
	{"Deadline", func(r *core.Record) any { return r.Deadline }},
	{"Horizon", func(r *core.Record) any { return r.Horizon }},
	{"Persistent", func(r *core.Record) any { return r.Persistent }},
	{"Requests", func(r *core.Record) any { return r.Requests }},
	{"Values", func(r *core.Record) any { return r.Values }},
}

// diff says in which fields, other than the named ones, two records differ, or
// "". An absent and an empty Values are the same.
func diff(got, want core.Record, except ...string) string {
	var out []string
next:
	for _, f := range fields {
		for _, name := range except {
			if f.name == name {
				continue next
			}
		}
		a, b := f.get(&got), f.get(&want)
		switch a := a.(type) {
		case time.Time:
			if b := b.(time.Time); !a.Equal(b) {
				out = append(out, fmt.Sprintf("%s is %s, want %s", f.name, stamp(a), stamp(b)))
			}
		case []byte:
			if b := b.([]byte); !bytes.Equal(a, b) {
				out = append(out, fmt.Sprintf("%s is %s, want %s", f.name, excerpt(a), excerpt(b)))
			}
		default:
			if a != b {
				out = append(out, fmt.Sprintf("%s is %v, want %v", f.name, a, b))
			}
		}
	}
	return strings.Join(out, "; ")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "the zero time"
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999999Z")
}

func excerpt(b []byte) string {
	const most = 40
	if len(b) <= most {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q... (%d bytes)", b[:most], len(b))
}

// create stores a record, which must succeed.
func (t *trial) create(rec core.Record) core.Record {
	t.Helper()
	if err := t.store.Create(t.ctx, rec); err != nil {
		t.Fatalf("Create of a new record: %v", err)
	}
	return rec
}

// update stores the next version of a record, which must succeed.
func (t *trial) update(rec core.Record) core.Record {
	t.Helper()
	rec.Version++
	if err := t.store.Update(t.ctx, rec); err != nil {
		t.Fatalf("Update to version %d: %v", rec.Version, err)
	}
	return rec
}

func (t *trial) delete(id core.ID) {
	t.Helper()
	if _, err := t.store.Delete(t.ctx, id); err != nil {
		t.Fatalf("Delete: %v", err)
	}
}

// wantStored checks that Load returns exactly this record.
func (t *trial) wantStored(when string, want core.Record) {
	t.Helper()
	got, err := t.store.Load(t.ctx, want.ID)
	if err != nil {
		t.Fatalf("%s: Load: %v, want the record", when, err)
	}
	if d := diff(got, want); d != "" {
		t.Errorf("%s: the stored record differs: %s", when, d)
	}
}

// wantAbsent checks that there is no record.
func (t *trial) wantAbsent(when string, id core.ID) {
	t.Helper()
	if _, err := t.store.Load(t.ctx, id); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("%s: Load: %s, want ErrNotFound", when, outcome(err))
	}
}

// wantExpired checks that a record is not served any more.
func (t *trial) wantExpired(when string, id core.ID) {
	t.Helper()
	if _, err := t.store.Load(t.ctx, id); !errors.Is(err, core.ErrNotFound) && !errors.Is(err, core.ErrExpired) {
		t.Errorf("%s: Load: %s, want ErrNotFound or ErrExpired", when, outcome(err))
	}
}

// want checks for a sentinel, or for success with nil.
func (t *trial) want(what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: %s, want %s", what, outcome(err), outcome(sentinel))
	}
}

type sentinel struct {
	err  error
	name string
}

var sentinels = []sentinel{
	{core.ErrNotFound, "ErrNotFound"},
	{core.ErrExpired, "ErrExpired"},
	{core.ErrExists, "ErrExists"},
	{core.ErrConflict, "ErrConflict"},
	{core.ErrCorrupt, "ErrCorrupt"},
	{core.ErrFull, "ErrFull"},
	{core.ErrNotRevocable, "ErrNotRevocable"},
}

// answers reports whether a verb gave an answer, and did not fail.
func answers(err error) bool {
	return err == nil || slices.ContainsFunc(sentinels, func(s sentinel) bool { return errors.Is(err, s.err) })
}

// outcome names the answer that a verb gave.
func outcome(err error) string {
	if err == nil {
		return "success"
	}
	for _, s := range sentinels {
		if err == s.err {
			return s.name
		}
		if errors.Is(err, s.err) {
			return fmt.Sprintf("%s (%v)", s.name, err)
		}
	}
	return fmt.Sprintf("a failure (%v)", err)
}
