package filestore

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// spoil damages the file of a record.
func (f *fixture) spoil(id core.ID) {
	f.Helper()
	f.must(os.Truncate(f.file(id), 20))
}

// Feature B10. Fails without the call of condemn in Load.
func TestCorruptFileIsMovedAside(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	other := f.create(s, "ann")
	otherFile, err := os.ReadFile(f.file(other.ID))
	f.must(err)
	for what, data := range map[string][]byte{
		"an empty file":             {},
		"zeros":                     make([]byte, 200),
		"half a file":               otherFile[:len(otherFile)/2],
		"something else":            []byte("hello, world"),
		"the file of another":       otherFile,
		"a file beyond all bounds":  nil,
		"a file of another version": append([]byte("cks2"), otherFile[4:]...),
	} {
		r := f.create(s, "ann")
		if f.write(f.file(r.ID), data); data == nil {
			f.must(os.Truncate(f.file(r.ID), maxFile+1))
		}
		_, err := s.Load(f.ctx, r.ID)
		f.want("the first Load of "+what, err, core.ErrCorrupt)
		for range 3 {
			_, err = s.Load(f.ctx, r.ID)
			f.want("a later Load of "+what, err, core.ErrNotFound)
		}
		if _, err := os.Stat(f.file(r.ID) + corrupt); err != nil {
			t.Errorf("%s was not kept: %v", what, err)
		}
		if got := f.log.String(); strings.Count(got, r.ID.String()) != 1 || !strings.Contains(got, "records/"+recordName(r.ID)+corrupt) {
			t.Errorf("%s is not logged once: %s", what, got)
		}
		f.want("Create after "+what, s.Create(f.ctx, r), nil)
	}
	f.wantVersion(s, other.ID, 1)
}

// Fails if a verb takes a damaged record for a failure of the file system, or
// trusts it.
func TestVerbsMeetCorruptFile(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	for what, call := range map[string]struct {
		fn   func(r core.Record) error
		want error
	}{
		"Create":        {func(r core.Record) error { return s.Create(f.ctx, r) }, nil},
		"Update":        {func(r core.Record) error { r.Version++; return s.Update(f.ctx, r) }, core.ErrNotFound},
		"Touch":         {func(r core.Record) error { return s.Touch(f.ctx, r.ID, r.LastAccess, r.ExpiresAt) }, core.ErrNotFound},
		"DeleteVersion": {func(r core.Record) error { return s.DeleteVersion(f.ctx, r.ID, 1) }, core.ErrNotFound},
		"Delete": {func(r core.Record) error {
			existed, err := s.Delete(f.ctx, r.ID)
			if existed {
				err = errors.New("it existed")
			}
			return err
		}, nil},
		"ListUser": {func(r core.Record) error {
			recs, err := s.ListUser(f.ctx, "ann")
			if len(recs) > 0 {
				err = errors.New("it is listed")
			}
			return err
		}, nil},
		"List": {func(r core.Record) error {
			for _, err := range s.List(f.ctx) {
				if err == nil {
					err = errors.New("it is listed")
				}
				return err
			}
			return nil
		}, nil},
		"Sweep": {func(r core.Record) error {
			n, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
			if n > 0 {
				err = errors.New("it was counted")
			}
			return err
		}, nil},
	} {
		r := f.create(s, "ann")
		f.spoil(r.ID)
		f.want(what, call.fn(r), call.want)
		if strings.Count(f.log.String(), r.ID.String()) != 1 {
			t.Errorf("%s: not logged once: %s", what, f.log)
		}
		if _, err := os.Stat(f.file(r.ID) + corrupt); err != nil {
			t.Errorf("%s: not moved aside: %v", what, err)
		}
		s.Delete(f.ctx, r.ID)
	}
}

// Fails without the lock in condemn, or the second look under it.
func TestCorruptFileIsReportedOnce(t *testing.T) {
	f := newFixture(t)
	stores := []*Store{f.open(), f.open()}
	for range 20 {
		r := f.create(stores[0], "")
		f.spoil(r.ID)
		var mu sync.Mutex
		reported := 0
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				switch _, err := stores[i%2].Load(f.ctx, r.ID); {
				case errors.Is(err, core.ErrCorrupt):
					mu.Lock()
					reported++
					mu.Unlock()
				case !errors.Is(err, core.ErrNotFound):
					t.Errorf("Load: %v", err)
				}
			})
		}
		wg.Wait()
		if reported != 1 {
			t.Fatalf("reported %d times, want once", reported)
		}
	}
}

// Fails without pass.corrupt, or without the time that disk.move notes.
func TestCorruptFileIsKeptForAWeek(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	r := f.create(s, "ann")
	f.spoil(r.ID)
	s.Load(f.ctx, r.ID)
	f.clock.Advance(keepCorrupt - time.Millisecond)
	s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	if _, err := os.Stat(f.file(r.ID) + corrupt); err != nil {
		t.Errorf("after less than a week: %v", err)
	}
	f.clock.Advance(time.Millisecond)
	_, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	f.must(err)
	if left := f.leftovers(); left != nil {
		t.Errorf("after a week: %v", left)
	}
}

// Feature W52: a request that meets a damaged file is anonymous, and nothing
// goes round in circles. Fails if Load reports a failure instead.
func TestRequestMeetsCorruptFile(t *testing.T) {
	f := newFixture(t)
	var events []core.Event
	m := core.MustNew(core.Config{
		Store:   f.open(),
		Secrets: []core.Secret{core.GenerateSecret()},
		Clock:   f.clock.Now,
		OnEvent: func(_ context.Context, e core.Event) { events = append(events, e) },
	})
	var id core.ID
	var reason core.Reason
	handler := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		if r.URL.Path == "/login" {
			s.Login("ann")
			if err := s.Save(r.Context()); err != nil {
				t.Errorf("Save: %v", err)
			}
			id = s.ID()
		}
		if s.User() != "" && r.URL.Path != "/login" {
			t.Error("the session is still there")
		}
		reason = s.Rejected()
	}))
	serve := func(path, cookie string) *http.Response {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Result()
	}
	cookie := serve("/login", "").Cookies()[0]
	f.spoil(id)
	for i, want := range []core.Reason{core.ReasonMalformed, core.ReasonUnknown, core.ReasonUnknown} {
		events = nil
		if resp := serve("/", cookie.Name+"="+cookie.Value); resp.StatusCode != http.StatusOK {
			t.Errorf("request %d: status %d, want 200", i, resp.StatusCode)
		}
		if reason != want || len(events) != 1 || events[0].Kind != core.EventRejected || events[0].ID != id {
			t.Errorf("request %d: rejected as %q with events %v, want %q and one event", i, reason, events, want)
		}
	}
}
