package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
)

func newClock() *testclock.Clock { return testclock.New(time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)) }

// log is a logger's output. Safe for concurrent use.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// fixture is a directory, and a clock and a log for the stores in it.
type fixture struct {
	testing.TB
	ctx   context.Context
	dir   string
	clock *testclock.Clock
	log   *log
}

func newFixture(t testing.TB) *fixture {
	if !supported {
		t.Skip("no file locks on this operating system")
	}
	return &fixture{t, t.Context(), filepath.Join(t.TempDir(), "sessions"), newClock(), &log{}}
}

// open opens a store in the directory, as another process would.
func (f *fixture) open(change ...func(*Config)) *Store {
	f.Helper()
	cfg := Config{
		Dir:           f.dir,
		Create:        true,
		NoSync:        true,
		SweepInterval: -1,
		Clock:         f.clock.Now,
		Logger:        slog.New(slog.NewTextHandler(f.log, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	return s
}

// record returns a record of a user that lives for an hour.
func (f *fixture) record(user string) core.Record {
	now := f.clock.Now()
	r := core.Record{
		Version:     1,
		Generation:  1,
		Proof:       [32]byte{1},
		User:        user,
		CreatedAt:   now,
		LastAccess:  now,
		ExpiresAt:   now.Add(time.Hour),
		IdleTimeout: time.Hour,
		Deadline:    now.Add(24 * time.Hour),
		Horizon:     now.Add(24 * time.Hour),
		Values:      []byte("values"),
	}
	rand.Read(r.ID[:])
	return r
}

func (f *fixture) create(s *Store, user string) core.Record {
	f.Helper()
	r := f.record(user)
	f.must(s.Create(f.ctx, r))
	return r
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) want(what string, err, sentinel error) {
	f.Helper()
	if !errors.Is(err, sentinel) {
		f.Errorf("%s: %v, want %v", what, err, sentinel)
	}
}

// wantVersion checks which version of a record is stored.
func (f *fixture) wantVersion(s *Store, id core.ID, version uint64) {
	f.Helper()
	got, err := s.Load(f.ctx, id)
	if err != nil {
		f.Errorf("Load: %v, want version %d", err, version)
	} else if got.Version != version {
		f.Errorf("Load: version %d, want %d", got.Version, version)
	}
}

// wantListed checks that a user's sessions are these.
func (f *fixture) wantListed(s *Store, user string, ids ...core.ID) {
	f.Helper()
	recs, err := s.ListUser(f.ctx, user)
	f.must(err)
	got, want := map[core.ID]bool{}, map[core.ID]bool{}
	for _, r := range recs {
		got[r.ID] = true
	}
	for _, id := range ids {
		want[id] = true
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.Errorf("ListUser(%q): %v, want %v", user, got, want)
	}
}

// file is where the file of a record is.
func (f *fixture) file(id core.ID) string { return filepath.Join(f.dir, "records", recordName(id)) }

// files returns the names of all files in the directory, but for those of locks
// that stay.
func (f *fixture) files() (names []string) {
	f.Helper()
	f.must(filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(f.dir, path)
		if err == nil && !d.IsDir() && !(strings.HasPrefix(name, "locks/") && stays(d.Name())) {
			names = append(names, name)
		}
		return err
	}))
	return names
}

// leftovers returns the files that would not be there if these records were all
// that was ever stored.
func (f *fixture) leftovers(recs ...core.Record) (names []string) {
	f.Helper()
	known := map[string]bool{formatFile: true, sweptFile: true}
	for _, r := range recs {
		known["records/"+recordName(r.ID)] = true
		if r.User != "" {
			known["users/"+entryName(r.User, r.ID)] = true
		}
	}
	for _, name := range f.files() {
		if !known[name] {
			names = append(names, name)
		}
		delete(known, name)
	}
	for name := range known {
		names = append(names, name+" is missing")
	}
	return names
}

func (f *fixture) write(name string, data []byte) {
	f.Helper()
	f.must(os.MkdirAll(filepath.Dir(name), 0o700))
	f.must(os.WriteFile(name, data, 0o600))
}

// waitForWaiter waits until another store is the next in line for a lock.
func (f *fixture) waitForWaiter(lock string) {
	f.Helper()
	for giveUp := time.Now().Add(20 * time.Second); time.Now().Before(giveUp); time.Sleep(100 * time.Microsecond) {
		if _, err := os.Stat(filepath.Join(f.dir, "locks", lock+waiting)); err == nil {
			return
		}
	}
	f.Errorf("nobody waits for the lock %s", lock)
}
