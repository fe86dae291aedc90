package filestore

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// script is one call of a verb, and what may be stored before and after it.
type script struct {
	name   string
	before func(f *fixture, s *Store) *core.Record // what is stored, if anything
	call   func(f *fixture, s *Store, r core.Record) error
	after  func(r core.Record) *core.Record // what then is stored, if anything
}

// scripts has a call for every way in which the store changes its directory.
func scripts() []script {
	stored := func(user string) func(f *fixture, s *Store) *core.Record {
		return func(f *fixture, s *Store) *core.Record {
			r := f.create(s, user)
			return &r
		}
	}
	expired := func(user string) func(f *fixture, s *Store) *core.Record {
		return func(f *fixture, s *Store) *core.Record {
			r := f.create(s, user)
			f.clock.Advance(time.Hour + time.Millisecond)
			return &r
		}
	}
	update := func(change func(*core.Record)) func(f *fixture, s *Store, r core.Record) error {
		return func(f *fixture, s *Store, r core.Record) error {
			change(&r)
			r.Version++
			return s.Update(f.ctx, r)
		}
	}
	changed := func(change func(*core.Record)) func(core.Record) *core.Record {
		return func(r core.Record) *core.Record {
			change(&r)
			r.Version++
			return &r
		}
	}
	longer := func(r *core.Record) { r.Values = []byte(strings.Repeat("longer", 1000)) }
	toBob := func(r *core.Record) { r.User = "bob" }
	toNobody := func(r *core.Record) { r.User = "" }
	none := func(core.Record) *core.Record { return nil }
	fresh := func(f *fixture, user string, id core.ID) core.Record {
		r := f.record(user)
		r.ID, r.CreatedAt = id, f.clock.Now()
		return r
	}
	var created core.Record
	create := func(user string) func(f *fixture, s *Store, r core.Record) error {
		return func(f *fixture, s *Store, r core.Record) error {
			created = fresh(f, user, r.ID)
			return s.Create(f.ctx, created)
		}
	}
	wasCreated := func(core.Record) *core.Record { return &created }
	absent := func(f *fixture, s *Store) *core.Record { return nil }
	return []script{
		{"create", absent, create(""), wasCreated},
		{"create of a user's", absent, create("ann"), wasCreated},
		{"create over an expired one", expired("ann"), create("bob"), wasCreated},
		{"update", stored("ann"), update(longer), changed(longer)},
		{"login", stored(""), update(toBob), changed(toBob)},
		{"change of user", stored("ann"), update(toBob), changed(toBob)},
		{"loss of user", stored("ann"), update(toNobody), changed(toNobody)},
		{"touch", stored("ann"), func(f *fixture, s *Store, r core.Record) error {
			return s.Touch(f.ctx, r.ID, r.LastAccess.Add(time.Minute), r.ExpiresAt.Add(time.Minute))
		}, func(r core.Record) *core.Record {
			r.LastAccess, r.ExpiresAt = r.LastAccess.Add(time.Minute), r.ExpiresAt.Add(time.Minute)
			return &r
		}},
		{"delete", stored("ann"), func(f *fixture, s *Store, r core.Record) error {
			_, err := s.Delete(f.ctx, r.ID)
			return err
		}, none},
		{"delete of a version", stored("ann"), func(f *fixture, s *Store, r core.Record) error {
			return s.DeleteVersion(f.ctx, r.ID, r.Version)
		}, none},
		{"sweep", expired("ann"), func(f *fixture, s *Store, r core.Record) error {
			_, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
			return err
		}, none},
	}
}

var errCrash = errors.New("crashed")

// saboteur stops a store at one of its changes to the directory.
type saboteur struct {
	f     *fixture
	at    int  // the change that it stops, from 0
	crash bool // and all later ones
	err   error

	n       int
	stopped bool
	seen    []string
}

func (c *saboteur) step(change, name string) error {
	n := c.n
	c.n++
	if n != c.at && !(c.crash && n > c.at) {
		c.seen = append(c.seen, change+" "+kindOf(name))
		return nil
	}
	if n == c.at && change == "write" {
		// Half of it is written.
		os.WriteFile(filepath.Join(c.f.dir, "records", name), []byte(magic+"half"), 0o600)
	}
	c.stopped = true
	return c.err
}

func kindOf(name string) string {
	name = path.Base(name)
	switch _, entry := parseEntry(name); {
	case entry:
		return "entry"
	case path.Ext(name) != "":
		return path.Ext(name)
	case len(name) == 2:
		return "bucket"
	case len(name) == 32:
		return "record"
	}
	return name
}

// stopEverywhere runs each script once for each change that it makes, stopped
// there, and calls check with what was stored before and would be after.
func stopEverywhere(t *testing.T, crash bool, err error, check func(f *fixture, s *Store, failed error, before, after *core.Record, id core.ID)) {
	for _, sc := range scripts() {
		t.Run(sc.name, func(t *testing.T) {
			stopped := true
			for at := 0; stopped; at++ {
				f := newFixture(t)
				s := f.open(func(c *Config) { c.NoSync = false })
				old := sc.before(f, s)
				r := f.record("")
				if old != nil {
					r = *old
				}
				c := &saboteur{f: f, at: at, crash: crash, err: err}
				s.disk.step = c.step
				failed := sc.call(f, s, r)
				s.disk.step = nil
				stopped = c.stopped
				if !stopped && failed != nil {
					t.Fatalf("unhindered: %v", failed)
				}
				if crash {
					s.Close()
					s = f.open()
				}
				check(f, s, failed, old, sc.after(r), r.ID)
				if t.Failed() {
					t.Fatalf("stopped after: %s", strings.Join(c.seen, ", "))
				}
			}
		})
	}
}

// storedOf returns what a store has of an ID.
func storedOf(f *fixture, s *Store, id core.ID) *core.Record {
	f.Helper()
	r, err := s.read(id)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		f.Fatalf("the record cannot be read: %v", err)
	}
	return &r
}

func checkState(f *fixture, s *Store, failed error, before, after *core.Record, id core.ID) *core.Record {
	f.Helper()
	got := storedOf(f, s, id)
	switch {
	case reflect.DeepEqual(got, after):
	case failed == nil:
		f.Errorf("a call that succeeded left %v, want %v", got, after)
	case !reflect.DeepEqual(got, before):
		f.Errorf("stored is %v, want what was before, %v, or would be after, %v", got, before, after)
	}
	for _, user := range []string{"ann", "bob"} {
		if got != nil && got.User == user && s.live(got) {
			f.wantListed(s, user, id)
		} else {
			f.wantListed(s, user)
		}
	}
	return got
}

// Features F39 and B11: a crash at any point keeps the last good version. Fails
// if a record is written in place, or before its user's entry, or if an entry
// goes before its record.
func TestCrashAtEveryStep(t *testing.T) {
	t.Run("then swept", func(t *testing.T) { crashAtEveryStep(t, true) })
	t.Run("not swept", func(t *testing.T) { crashAtEveryStep(t, false) })
}

func crashAtEveryStep(t *testing.T, sweep bool) {
	stopEverywhere(t, true, errCrash, func(f *fixture, s *Store, failed error, before, after *core.Record, id core.ID) {
		got := checkState(f, s, failed, before, after, id)
		if sweep {
			_, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
			f.must(err)
			for _, name := range f.files() {
				if strings.HasSuffix(name, temporary) || strings.HasPrefix(name, "locks/") || got == nil && isEntryOf(name, id) {
					f.Errorf("left over: %v", name)
				}
			}
			if got != nil && !s.live(got) {
				got = nil
			}
		}
		// What was left behind is in nobody's way.
		if got == nil || !s.live(got) {
			r := f.record("ann")
			r.ID = id
			f.must(s.Create(f.ctx, r))
			got = &r
		} else {
			got.Version++
			f.must(s.Update(f.ctx, *got))
		}
		if _, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now()); err != nil {
			f.Errorf("Sweep: %v", err)
		}
		if got.User != "" {
			f.wantListed(s, got.User, id)
		}
		for _, name := range f.leftovers(*got) {
			if !isEntryOf(name, id) { // of a user that it had before: goes with the record
				f.Errorf("left over: %v", name)
			}
		}
		_, err := s.Delete(f.ctx, id)
		f.must(err)
		_, err = s.Sweep(f.ctx, time.Time{}, f.clock.Now())
		f.must(err)
		if left := f.leftovers(); left != nil {
			f.Errorf("left over in the end: %v", left)
		}
	})
}

func isEntryOf(name string, id core.ID) bool {
	got, ok := parseEntry(path.Base(name))
	return ok && got == id
}

// A disk that is full costs a call, nothing else. Fails if replace leaves its
// temporary file there, or writes in place.
func TestFailureAtEveryStep(t *testing.T) {
	stopEverywhere(t, false, syscall.ENOSPC, func(f *fixture, s *Store, failed error, before, after *core.Record, id core.ID) {
		if failed != nil && (!errors.Is(failed, syscall.ENOSPC) || errors.Is(failed, core.ErrCorrupt)) {
			f.Errorf("error %v, want one that wraps the file system's", failed)
		}
		checkState(f, s, failed, before, after, id)
		for _, name := range f.files() {
			if strings.HasSuffix(name, temporary) {
				f.Errorf("left over: %s", name)
			}
		}
	})
}

// What a verb reports as done survives a loss of power. Fails if something is
// renamed before its content is on the disk, or reported before its name is.
func TestOrderOfSteps(t *testing.T) {
	f := newFixture(t)
	s := f.open(func(c *Config) { c.NoSync = false })
	r := f.create(s, "ann")
	f.create(s, "bob")
	fresh := f.record("ann")
	fresh.ID[0] = r.ID[0] // of the same bucket
	write := []string{"create .tmp", "write .tmp", "sync .tmp", "rename record"}
	list := []string{"create entry", "sync bucket"}
	flush := []string{"sync bucket"}
	for _, c := range []struct {
		what string
		call func() error
		want [][]string
	}{
		{"create", func() error { return s.Create(f.ctx, fresh) }, [][]string{list, write, flush}},
		{"update", func() error { r.Version++; return s.Update(f.ctx, r) }, [][]string{write, flush}},
		{"change of user", func() error { r.Version++; r.User = "bob"; return s.Update(f.ctx, r) }, [][]string{list, write, flush, {"remove entry"}}},
		// A touch may be lost, but must not damage the record.
		{"touch", func() error { return s.Touch(f.ctx, r.ID, r.LastAccess, r.ExpiresAt.Add(1e9)) }, [][]string{write}},
		{"touch that moves nothing", func() error { return s.Touch(f.ctx, r.ID, r.LastAccess, r.ExpiresAt) }, nil},
		{"delete", func() error { _, err := s.Delete(f.ctx, r.ID); return err }, [][]string{{"remove record"}, flush, {"remove entry"}}},
		{"delete of nothing", func() error { _, err := s.Delete(f.ctx, r.ID); return err }, nil},
	} {
		tap := &saboteur{f: f, at: -1}
		s.disk.step = tap.step
		f.must(c.call())
		if want := slices.Concat(c.want...); fmt.Sprint(tap.seen) != fmt.Sprint(want) {
			t.Errorf("%s: steps %q, want %q", c.what, tap.seen, want)
		}
	}
}
