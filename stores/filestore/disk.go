package filestore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// disk is the directory. All that is ever read from it or changed in it, but
// for the locks, goes through here. Nothing in it can name a file outside.
type disk struct {
	root, records, users, locks *os.Root
	sync                        bool

	// step, in tests, is told of each change before it is made, and can
	// prevent it, as a crash would.
	step func(change, name string) error
}

const (
	formatFile = "format"
	format     = "sessions in files, layout 1\n"
	sweptFile  = "swept"

	buckets = 256

	temporary = ".tmp"     // a record that is being written, by who holds its lock
	corrupt   = ".corrupt" // a file that was moved aside
)

// openDisk opens the three directories in root, which it closes if it fails.
func openDisk(root *os.Root, sync bool) (*disk, error) {
	d := &disk{root: root, sync: sync}
	for name, sub := range map[string]**os.Root{"records": &d.records, "users": &d.users, "locks": &d.locks} {
		err := d.root.Mkdir(name, 0o700)
		if err == nil || errors.Is(err, os.ErrExist) {
			*sub, err = d.root.OpenRoot(name)
		}
		if err != nil {
			d.close()
			return nil, fmt.Errorf("filestore: %w", err)
		}
	}
	return d, nil
}

// stamp writes the version of the layout into a new directory, and checks that
// of another. A version that locks in another way must not meet this one. The
// caller sees to it that nobody else does the same.
func (d *disk) stamp(now time.Time) error {
	data, err := d.root.ReadFile(formatFile)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(data) == 0: // new, or power was lost just then
		if err := d.replace(d.root, formatFile, []byte(format), true); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("filestore: %w", err)
	case string(data) != format:
		return refuse("Dir was made by another version of this package: its layout is %.60q, this version knows %q", data, format)
	}
	if has(d.root, sweptFile) {
		return nil
	}
	return d.setSwept(now)
}

func (d *disk) close() {
	for _, r := range []*os.Root{d.records, d.users, d.locks, d.root} {
		if r != nil {
			r.Close()
		}
	}
}

func bucketName(b byte) string { return hex.EncodeToString([]byte{b}) }

// recordName is where the record of an ID is, below records. Lower-case hex is
// safe where case makes no difference.
func recordName(id core.ID) string {
	return bucketName(id[0]) + "/" + hex.EncodeToString(id[:])
}

// parseID reads the last part of a recordName.
func parseID(name string) (id core.ID, ok bool) {
	if len(name) != 2*len(id) || strings.ToLower(name) != name {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(name))
	return id, err == nil && !id.IsZero()
}

// parseName reads the last part of a recordName, with its ending, if it has one.
func parseName(name string) (id core.ID, ending string, ok bool) {
	stem, ending := name, ""
	if i := strings.IndexByte(name, '.'); i >= 0 {
		stem, ending = name[:i], name[i:]
	}
	id, ok = parseID(stem)
	return id, ending, ok
}

// about tells the test what is to come.
func (d *disk) about(change, name string) error {
	if d.step == nil {
		return nil
	}
	return d.step(change, name)
}

// replace puts data into a file in one step: whatever happens, the file is the
// old or the new one. The caller sees to it that nobody else does the same. If
// it returns an error, either may be there. If flush is false, a loss of power
// may bring the old one back.
func (d *disk) replace(root *os.Root, name string, data []byte, flush bool) (err error) {
	tmp := name + temporary
	if err = d.create(root, tmp, data); err == nil {
		if err = d.about("rename", name); err == nil {
			err = root.Rename(tmp, name)
		}
	}
	if err != nil {
		if d.about("remove", tmp) == nil {
			root.Remove(tmp) // a disk that is full needs the room
		}
		return fmt.Errorf("filestore: %w", err)
	}
	if !flush {
		return nil
	}
	return d.syncDir(root, path.Dir(name))
}

func (d *disk) create(root *os.Root, name string, data []byte) error {
	if err := d.about("create", name); err != nil {
		return err
	}
	f, err := d.open(root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.about("write", name); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if d.sync {
		if err := d.about("sync", name); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

// open opens an empty file for writing, and makes its bucket if it is the first
// in it.
func (d *disk) open(root *os.Root, name string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	f, err := root.OpenFile(name, flags, 0o600)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	bucket := path.Dir(name)
	if err := d.about("mkdir", bucket); err != nil {
		return nil, err
	}
	if err := root.Mkdir(bucket, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := d.syncDir(root, "."); err != nil {
		return nil, err
	}
	return root.OpenFile(name, flags, 0o600)
}

// syncDir waits until the disk has what was created, renamed and removed in a
// directory.
func (d *disk) syncDir(root *os.Root, dir string) error {
	if !d.sync {
		return nil
	}
	err := d.about("sync", dir)
	if err == nil {
		var f *os.File
		if f, err = root.Open(dir); err == nil {
			err = f.Sync()
			f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}

// remove removes a file, if it is there. If flush is false, a loss of power may
// bring it back.
func (d *disk) remove(root *os.Root, name string, flush bool) error {
	err := d.about("remove", name)
	if err == nil {
		err = root.Remove(name)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	if !flush {
		return nil
	}
	return d.syncDir(root, path.Dir(name))
}

// mark makes an empty file, unless it is there.
func (d *disk) mark(root *os.Root, name string) error {
	err := d.about("create", name)
	if err == nil {
		var f *os.File
		if f, err = d.open(root, name); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return d.syncDir(root, path.Dir(name))
}

// move renames a file and notes when.
func (d *disk) move(root *os.Root, from, to string, now time.Time) error {
	err := d.about("rename", to)
	if err == nil {
		if err = root.Rename(from, to); err == nil {
			err = root.Chtimes(to, now, now)
		}
	}
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}

// intact tells a file that is not there from a directory that was removed with
// all that was in it, which is an outage: nothing is known of any session.
func (d *disk) intact() error {
	if _, err := d.root.Lstat(formatFile); err != nil {
		return fmt.Errorf("filestore: the directory was removed: %w", err)
	}
	return nil
}

// read reads the file of a record. core.ErrNotFound if there is none.
func (d *disk) read(id core.ID) ([]byte, error) {
	f, err := d.records.Open(recordName(id))
	if errors.Is(err, os.ErrNotExist) {
		if err := d.intact(); err != nil {
			return nil, err
		}
		return nil, core.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%w: a file of %d bytes", core.ErrCorrupt, info.Size())
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	return data, nil
}

// names returns what is in a directory, each name once.
func (d *disk) names(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, d.intact() // an empty bucket
	}
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// has reports whether a file is there, or may be.
func has(root *os.Root, name string) bool {
	_, err := root.Lstat(name)
	return !errors.Is(err, os.ErrNotExist)
}

// swept returns when expired records were last removed, by whichever process.
func (d *disk) swept() (time.Time, error) {
	info, err := d.root.Stat(sweptFile)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func (d *disk) setSwept(now time.Time) error {
	err := d.about("note", sweptFile)
	if err == nil {
		var f *os.File
		if f, err = d.root.OpenFile(sweptFile, os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
			f.Close()
			err = d.root.Chtimes(sweptFile, now, now)
		}
	}
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}
