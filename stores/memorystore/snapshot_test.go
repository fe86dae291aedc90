package memorystore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coatcheck/sessions/core"
)

func (f *fixture) snapshot() []byte {
	f.t.Helper()
	var b bytes.Buffer
	if err := f.Snapshot(&b); err != nil {
		f.t.Fatal(err)
	}
	return b.Bytes()
}

// Feature W37. Fails if Restore keeps expired records.
func TestSnapshotSurvivesRestart(t *testing.T) {
	f := newFixture(t, Config{})
	var want []core.Record
	for i := range 10 {
		want = append(want, f.create(i, fmt.Sprint("user", i%3)))
	}
	for i := 10; i < 20; i++ {
		rec := f.rec(i, "")
		rec.ExpiresAt = rec.LastAccess.Add(time.Minute)
		if err := f.Create(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	data := f.snapshot()

	next := newFixture(t, Config{})
	next.advance(time.Minute)
	n, err := next.Restore(bytes.NewReader(data))
	if n != 10 || err != nil {
		t.Errorf("restored %d, %v", n, err)
	}
	for _, rec := range want {
		got, err := next.Load(f.ctx, rec.ID)
		if err != nil || !reflect.DeepEqual(got, rec) {
			t.Errorf("got %#v, %v\nwant %#v", got, err, rec)
		}
	}
	if n := next.count(); n != 10 {
		t.Errorf("%d records, 10 of them live", n)
	}
	if ids := next.sessionsOf("user0"); len(ids) != 4 {
		t.Errorf("user0 has %v", ids)
	}
}

// What is in the store is newer than what is in a snapshot.
func TestRestoreReplacesNothing(t *testing.T) {
	f := newFixture(t, Config{})
	f.create(1, "ann")
	f.create(2, "ann")
	data := f.snapshot()
	if err := f.grow(1, 10, "bob"); err != nil {
		t.Fatal(err)
	}
	f.Delete(f.ctx, makeID(2))
	if n, err := f.Restore(bytes.NewReader(data)); n != 1 || err != nil {
		t.Errorf("restored %d, %v", n, err)
	}
	if rec, _ := f.Load(f.ctx, makeID(1)); rec.User != "bob" || rec.Version != 2 {
		t.Errorf("version %d of %q", rec.Version, rec.User)
	}
}

// A smaller store takes over users first, then the latest visitors.
func TestRestoreIntoFullStore(t *testing.T) {
	f := newFixture(t, Config{})
	for i := range 100 {
		user := ""
		if i%10 == 0 {
			user = "ann"
		}
		f.create(i, user)
		f.advance(time.Millisecond)
	}
	data := f.snapshot()

	small := newFixture(t, Config{MaxSessions: 50})
	if _, err := small.Restore(bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	if n := len(small.sessionsOf("ann")); n != 10 || small.count() != 50 {
		t.Errorf("%d records, %d of ann's 10", small.count(), n)
	}

	tiny := newFixture(t, Config{MaxSessions: 5})
	n, err := tiny.Restore(bytes.NewReader(data))
	if !errors.Is(err, core.ErrFull) || errors.Is(err, core.ErrCorrupt) || len(tiny.sessionsOf("ann")) != 5 || n < 5 {
		t.Errorf("restored %d, %d of them ann's, %v", n, len(tiny.sessionsOf("ann")), err)
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	f := newFixture(t, Config{})
	if n, err := f.Restore(bytes.NewReader(f.snapshot())); n != 0 || err != nil {
		t.Errorf("restored %d, %v", n, err)
	}
}

// Fails without the end frame: a cut between two records would go unnoticed.
func TestRestoreCutOff(t *testing.T) {
	f := newFixture(t, Config{})
	const records = 5
	for i := range records {
		f.create(i, "ann")
	}
	data := f.snapshot()
	frame := (len(data) - len(snapshotMagic) - frameHead) / records
	for size := range data {
		next := newFixture(t, Config{})
		n, err := next.Restore(bytes.NewReader(data[:size]))
		whole := max(0, size-len(snapshotMagic)) / frame
		if !errors.Is(err, core.ErrCorrupt) || n != whole || next.count() != whole {
			t.Fatalf("%d of %d bytes: restored %d, want %d, %v", size, len(data), n, whole, err)
		}
	}
}

// Fails without the checksums: a flipped bit would change a session.
func TestRestoreDamaged(t *testing.T) {
	f := newFixture(t, Config{})
	const records = 5
	for i := range records {
		f.create(i, "ann")
	}
	data := f.snapshot()
	start, frame := len(snapshotMagic), (len(data)-len(snapshotMagic)-frameHead)/records
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x10
		next := newFixture(t, Config{})
		n, err := next.Restore(bytes.NewReader(damaged))
		if !errors.Is(err, core.ErrCorrupt) {
			t.Fatalf("byte %d damaged: restored %d, %v", i, n, err)
		}
		for rec := range next.List(f.ctx) {
			if want, _ := f.Load(f.ctx, rec.ID); !reflect.DeepEqual(rec, want) {
				t.Fatalf("byte %d damaged: restored %#v", i, rec)
			}
		}
		// Damage to a record's content costs that record only.
		if in := (i - start) % frame; i >= start && i < start+records*frame && in >= frameHead && n != records-1 {
			t.Fatalf("byte %d damaged: restored %d of %d", i, n, records)
		}
	}
}

// Fails if Restore takes memory because a frame claims a length, or reads a
// record that could never be stored.
func TestRestoreHugeClaim(t *testing.T) {
	for length, arrives := range map[uint32]int{1 << 29: 10, 1<<32 - 1: 10, 10 << 20: 10 << 20} {
		f := newFixture(t, Config{MaxBytes: 1 << 30})
		if arrives == int(length) {
			f.budget.maxBytes = 1 << 20
		}
		data := append([]byte(snapshotMagic), make([]byte, frameHead+arrives)...)
		putHead(data[len(snapshotMagic):], length, 0)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, err := f.Restore(bytes.NewReader(data))
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if n != 0 || !errors.Is(err, core.ErrCorrupt) || allocated > 1<<20 {
			t.Errorf("a claim of %d bytes: %v, %d bytes allocated", length, err, allocated)
		}
	}
}

type failingWriter struct{ room int }

var errDisk = errors.New("disk full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestSnapshotFailures(t *testing.T) {
	f := newFixture(t, Config{})
	for i := range 2000 {
		f.create(i, "ann")
	}
	for _, room := range []int{0, 100_000} {
		if err := f.Snapshot(&failingWriter{room}); !errors.Is(err, errDisk) {
			t.Errorf("after %d bytes: %v", room, err)
		}
	}
	data := f.snapshot()
	for _, size := range []int{0, 4, 100_000} {
		r := io.MultiReader(bytes.NewReader(data[:size]), iotest.ErrReader(errDisk))
		if _, err := newFixture(t, Config{}).Restore(r); !errors.Is(err, errDisk) || errors.Is(err, core.ErrCorrupt) {
			t.Errorf("a reader that fails after %d bytes: %v", size, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	s := newFixture(f, Config{})
	for i, user := range []string{"", "ann", "bob"} {
		s.create(i, user)
	}
	data := s.snapshot()
	f.Add(data)
	f.Add(data[:len(data)-frameHead])
	f.Add(data[:len(data)/2])
	f.Add([]byte(snapshotMagic))
	f.Add(append([]byte(snapshotMagic), make([]byte, frameHead)...))
	f.Add([]byte{})
	damaged := bytes.Clone(data)
	damaged[len(snapshotMagic)+frameHead+30]++
	f.Add(damaged)
	rec, _ := s.rec(1, "ann").MarshalBinary()
	f.Add(rec)
	f.Fuzz(func(t *testing.T, data []byte) {
		// As it is, and as a record whose checksum is right.
		for _, data := range [][]byte{data, framed(data)} {
			f := newFixture(t, Config{MaxSessions: 10, MaxBytes: 1 << 20})
			n, err := f.Restore(bytes.NewReader(data))
			if err != nil && !errors.Is(err, core.ErrCorrupt) && !errors.Is(err, core.ErrFull) {
				t.Errorf("%v", err)
			}
			if n < f.count() {
				t.Errorf("restored %d, %d are there", n, f.count())
			}
			// What was restored can be saved and restored again.
			again := newFixture(t, Config{})
			if n, err := again.Restore(bytes.NewReader(f.snapshot())); n != f.count() || err != nil {
				t.Errorf("restored %d of %d again, %v", n, f.count(), err)
			}
		}
	})
}

// framed is a snapshot of one record.
func framed(rec []byte) []byte {
	data := append([]byte(snapshotMagic), make([]byte, frameHead)...)
	putHead(data[len(snapshotMagic):], uint32(len(rec)), crc32.Checksum(rec, castagnoli))
	data = append(append(data, rec...), make([]byte, frameHead)...)
	putHead(data[len(data)-frameHead:], 0, 1)
	return data
}
