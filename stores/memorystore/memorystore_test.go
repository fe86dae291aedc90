package memorystore

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

func TestNewRefuses(t *testing.T) {
	for field, cfg := range map[string]Config{
		"MaxSessions":   {MaxSessions: -1},
		"MaxBytes":      {MaxBytes: -1},
		"SweepInterval": {SweepInterval: -time.Second},
	} {
		t.Run(field, func(t *testing.T) {
			defer func() {
				err, _ := recover().(error)
				if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), field) {
					t.Errorf("New panicked with %v, want an ErrConfig that names %s", err, field)
				}
			}()
			New(cfg)
		})
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, core.ErrConfig) {
			t.Errorf("SweepInterval of a nanosecond: %v", err)
		}
	}()
	New(Config{SweepInterval: 1})
}

func TestDefaults(t *testing.T) {
	s := New(Config{})
	if s.budget.maxSessions != 1_000_000 || s.budget.maxBytes != 1<<30 || s.sweeper.interval != time.Minute {
		t.Errorf("defaults: %d sessions, %d bytes, every %v", s.budget.maxSessions, s.budget.maxBytes, s.sweeper.interval)
	}
	if d := time.Until(s.clock()).Abs(); d > time.Minute {
		t.Errorf("the clock is off by %v", d)
	}
}

// Every field of a record comes back, also one that is added to core some day.
func TestRecordSurvives(t *testing.T) {
	f := newFixture(t, Config{})
	want := f.rec(1, "ann")
	v := reflect.ValueOf(&want).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(want.CreatedAt.Add(time.Duration(i) * time.Minute)))
		case uint64:
			field.SetUint(uint64(i) + 1)
		case [32]byte:
			field.Set(reflect.ValueOf([32]byte{byte(i)}))
		case bool:
			field.SetBool(true)
		case time.Duration:
			field.SetInt(int64(i) * int64(time.Second))
		}
		if v.Field(i).IsZero() {
			t.Errorf("the test does not fill %s", v.Type().Field(i).Name)
		}
	}
	for _, rec := range []core.Record{want, {ID: makeID(2), Version: 1, ExpiresAt: want.ExpiresAt}} {
		if err := f.Create(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
		got, err := f.Load(f.ctx, rec.ID)
		if err != nil || !reflect.DeepEqual(got, rec) {
			t.Errorf("got %#v, %v\nwant %#v", got, err, rec)
		}
	}
}

// Fails if Load or Update copies values.
func TestValuesAreShared(t *testing.T) {
	f := newFixture(t, Config{})
	rec := f.create(1, "")
	first, _ := f.Load(f.ctx, rec.ID)
	if &first.Values[0] != &rec.Values[0] {
		t.Error("Load copied the values")
	}
	next := rec
	next.Version, next.Values = 2, []byte("others")
	if err := f.Update(f.ctx, next); err != nil {
		t.Fatal(err)
	}
	if string(first.Values) != "values" {
		t.Errorf("an Update changed a record that was handed out: %q", first.Values)
	}
}

// Fails without trim: 10 bytes would keep a megabyte alive that no limit sees.
func TestSmallPartOfLargeValues(t *testing.T) {
	f := newFixture(t, Config{})
	rec := f.rec(1, "")
	rec.Values = make([]byte, 10, 1<<20)
	if err := f.Create(f.ctx, rec); err != nil {
		t.Fatal(err)
	}
	got, _ := f.Load(f.ctx, rec.ID)
	if cap(got.Values) > 100 || !bytes.Equal(got.Values, rec.Values) {
		t.Errorf("kept %d of %d bytes", len(got.Values), cap(got.Values))
	}
}

// A logout that came in is carried out, even if the client has hung up.
func TestEndedContext(t *testing.T) {
	f := newFixture(t, Config{})
	rec := f.create(1, "ann")
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if existed, err := f.Delete(ctx, rec.ID); !existed || err != nil {
		t.Errorf("Delete: %v, %v", existed, err)
	}
}

func TestAllocations(t *testing.T) {
	f := newFixture(t, Config{})
	rec := f.create(1, "ann")
	for verb, fn := range map[string]func(){
		"Load": func() { f.Load(f.ctx, rec.ID) },
		"Update": func() {
			rec.Version++
			if err := f.Update(f.ctx, rec); err != nil {
				t.Fatal(err)
			}
		},
		"Touch": func() { f.Touch(f.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt) },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s allocates %v times", verb, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		anon := rec
		anon.ID, anon.User = makeID(2), ""
		f.Create(f.ctx, anon)
		f.Delete(f.ctx, anon.ID)
	}); n > 1 {
		t.Errorf("Create allocates %v times", n)
	}
}

// What is expired is refused to the millisecond, whether or not it was swept.
func TestExpired(t *testing.T) {
	f := newFixture(t, Config{})
	rec := f.create(1, "ann")
	f.advance(time.Hour - time.Millisecond)
	f.want(1, nil)
	f.advance(time.Millisecond)
	f.want(1, core.ErrExpired)
	next := rec
	next.Version = 2
	for verb, err := range map[string]error{
		"Update":        f.Update(f.ctx, next),
		"Touch":         f.Touch(f.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt.Add(time.Hour)),
		"DeleteVersion": f.DeleteVersion(f.ctx, rec.ID, 1),
	} {
		if !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s of an expired record: %v", verb, err)
		}
	}
	if recs, _ := f.ListUser(f.ctx, "ann"); len(recs) != 0 {
		t.Errorf("ListUser shows %v", recs)
	}
	for rec := range f.List(f.ctx) {
		t.Errorf("List shows %v", rec)
	}
	f.create(1, "bob")
	if existed, _ := f.Delete(f.ctx, rec.ID); !existed {
		t.Error("the record that replaced the expired one is gone")
	}
	f.create(1, "")
	f.advance(time.Hour)
	if existed, _ := f.Delete(f.ctx, rec.ID); existed || f.count() != 0 {
		t.Errorf("Delete of an expired record: existed %v, %d left", existed, f.count())
	}
	f.want(1, core.ErrNotFound)
}
