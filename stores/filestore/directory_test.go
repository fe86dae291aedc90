package filestore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Feature QX17, feature S16, security H16. Fails without the checks in openDir.
func TestDirectoryRefused(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	file := at("file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	withMode := func(name string, mode os.FileMode) string {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	for _, c := range []struct {
		name string
		cfg  Config
		says []string
		is   error
	}{
		{"none", Config{}, []string{"Dir is empty"}, nil},
		{"missing", Config{Dir: at("missing")}, []string{"does not exist", "install -d -m 700 " + at("missing"), "Create"}, fs.ErrNotExist},
		{"a file", Config{Dir: file}, []string{"cannot be opened", "not a directory"}, nil},
		{"a file, to be created", Config{Dir: file, Create: true}, []string{"cannot be made"}, syscall.ENOTDIR},
		{"below a file", Config{Dir: file + "/x", Create: true}, []string{"cannot be made"}, syscall.ENOTDIR},
		{"world-readable", Config{Dir: withMode("0755", 0o755)}, []string{"mode 0755", "chmod 700 " + at("0755")}, nil},
		{"world-readable, to be created", Config{Dir: at("0755"), Create: true}, []string{"mode 0755"}, nil},
		{"group-readable", Config{Dir: withMode("0740", 0o740)}, []string{"mode 0740"}, nil},
		{"group-writable", Config{Dir: withMode("0720", 0o720)}, []string{"mode 0720"}, nil},
		{"world-writable", Config{Dir: withMode("0702", 0o702)}, []string{"mode 0702"}, nil},
		{"short interval", Config{Dir: at("x"), Create: true, SweepInterval: 1}, []string{"SweepInterval", "1ns"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := New(c.cfg)
			if err == nil {
				s.Close()
				t.Fatal("New succeeded")
			}
			if !errors.Is(err, core.ErrConfig) {
				t.Errorf("error %v does not wrap core.ErrConfig", err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v does not wrap %v", err, c.is)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
		})
	}
	if _, err := os.Stat(at("x")); err == nil {
		t.Error("a refused configuration made a directory")
	}
}

// Fails without checkOwner.
func TestDirectoryOfAnother(t *testing.T) {
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	uid := os.Geteuid()
	if err := checkOwner("dir", info, uid); err != nil {
		t.Errorf("a directory of one's own: %v", err)
	}
	if err := checkOwner("dir", info, uid+1); !errors.Is(err, core.ErrConfig) {
		t.Errorf("a directory of another user: %v, want core.ErrConfig", err)
	}
}

// Feature S1. Fails without MkdirAll.
func TestDirectoryCreated(t *testing.T) {
	f := newFixture(t)
	f.dir = filepath.Join(f.dir, "a", "b")
	s := f.open()
	r := f.create(s, "ann")
	f.must(s.Update(f.ctx, func() core.Record { r.Version++; return r }()))
	unlock, err := s.Lock(f.ctx, r.ID)
	f.must(err)
	defer unlock()
	// Security H16. Fails if a file or directory is made with another mode.
	f.must(filepath.WalkDir(filepath.Dir(f.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		return err
	}))
	f.open(func(c *Config) { c.Create = false })
}

// Fails without the lock in Store.open: the half-written format of one would be
// refused by others.
func TestDirectoryOpenedByManyAtOnce(t *testing.T) {
	for range 5 {
		f := newFixture(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := New(Config{Dir: f.dir, Create: true, SweepInterval: -1})
				if err != nil {
					t.Error(err)
					return
				}
				s.Close()
			})
		}
		wg.Wait()
		if left := f.leftovers(); left != nil {
			t.Errorf("left over: %v", left)
		}
	}
}

// Fails without the checks in disk.stamp.
func TestDirectoryOfAnotherLayout(t *testing.T) {
	f := newFixture(t)
	f.write(filepath.Join(f.dir, formatFile), []byte("sessions in files, layout 2\n"))
	f.must(os.Chmod(f.dir, 0o700))
	_, err := New(Config{Dir: f.dir})
	if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "layout 2") {
		t.Errorf("New: %v, want core.ErrConfig and the layout", err)
	}
	f.must(os.Truncate(filepath.Join(f.dir, formatFile), 0)) // as a loss of power may leave it
	f.open()
	f.open()
}

// Feature B3. Fails if a name comes from anything but the ID, or if the files
// are opened by path instead of below an os.Root.
func TestNothingOutsideDirectory(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	var recs []core.Record
	for _, user := range []string{"../../evil", "/etc/passwd", "..", ".", "a/b\x00c", strings.Repeat("x", 255)} {
		recs = append(recs, f.create(s, user))
	}
	if left := f.leftovers(recs...); left != nil {
		t.Errorf("unexpected files: %v", left)
	}
	outside := filepath.Join(filepath.Dir(f.dir), "outside")
	f.must(os.Mkdir(outside, 0o700))
	r := f.record("")
	f.must(os.RemoveAll(filepath.Dir(f.file(r.ID))))
	f.must(os.Symlink(outside, filepath.Dir(f.file(r.ID))))
	if err := s.Create(f.ctx, r); err == nil {
		t.Error("Create through a symbolic link to the outside succeeded")
	}
	if _, err := s.Load(f.ctx, r.ID); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load through a symbolic link to the outside: %v, want a failure", err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("files outside: %v", entries)
	}
}

// An outage is never taken for "not logged in". Fails without disk.intact.
func TestDirectoryRemoved(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	r := f.create(s, "ann")
	f.must(os.RemoveAll(f.dir))
	next := r
	next.Version++
	_, load := s.Load(f.ctx, r.ID)
	_, del := s.Delete(f.ctx, r.ID)
	_, list := s.ListUser(f.ctx, "ann")
	_, sweep := s.Sweep(f.ctx, r.CreatedAt, r.CreatedAt)
	_, lock := s.Lock(f.ctx, r.ID)
	var all error
	for _, err := range s.List(f.ctx) {
		all = err
	}
	for verb, err := range map[string]error{
		"Load": load, "Delete": del, "ListUser": list, "List": all, "Sweep": sweep, "Lock": lock,
		"Create":        s.Create(f.ctx, f.record("")),
		"Update":        s.Update(f.ctx, next),
		"Touch":         s.Touch(f.ctx, r.ID, r.LastAccess, r.ExpiresAt),
		"DeleteVersion": s.DeleteVersion(f.ctx, r.ID, 1),
	} {
		if err == nil || errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrCorrupt) {
			t.Errorf("%s without the directory: %v, want a failure", verb, err)
		}
	}
}
