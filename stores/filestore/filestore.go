// Package filestore keeps sessions in a directory, a file for each: for an
// application on one machine whose sessions survive a restart, with no server
// to run besides.
//
//	store, err := filestore.New(filestore.Config{Dir: "/var/lib/app/sessions", Create: true})
//	sessions, err := core.New(core.Config{Store: store, Secrets: secrets})
//
// Any number of processes of the machine may use one directory at once. What
// one of them writes, the others read, merge, list and end at once. Many
// thousands of sessions are fine; with a million, going through them (a sweep,
// List) takes tens of seconds, and a database is the better place.
//
// # The directory
//
// It belongs to the user who runs the process, with mode 0700, and its files
// have 0600; [New] refuses another mode, because the values in the files are
// not encrypted. Names derive from IDs, which are no credentials, and from
// hashes of users; no name comes from a client. Do not share it with anything
// else, and do not edit it while a process uses it:
//
//	format                   the layout's version
//	records/3f/3f...         a session, by its ID
//	users/a1/a1...-3f...     whose it is; empty
//	locks/                   who is changing what
//	swept                    when expired sessions were last removed
//
// The file system must be local, with the rename and flock of POSIX: ext4, XFS,
// Btrfs, ZFS, APFS, UFS, tmpfs. A network file system is not fit. NFS and its
// like cache names and contents on every machine for seconds, so a session that
// was ended on one could live on on another, and their locks may be lost
// without notice. Use a database for several machines. The package works on
// Linux, macOS, the BSDs and illumos; elsewhere New fails with
// [errors.ErrUnsupported].
//
// # When something crashes
//
// A record is written to a file beside it, flushed to the disk, and renamed
// over the one before; then the directory is flushed. So at every moment there
// is a whole record, the old or the new: a reader needs no lock and never sees
// half of one. What a verb reported as done survives the loss of power, if the
// disk keeps its word. Only the times that Touch moves may then be the ones
// before.
//
// [Config].NoSync leaves the flushing out, which makes writes many times
// faster. A crash of the process, however hard, still loses nothing; a loss of
// power, or a crash of the system, may then lose the changes of the last
// seconds, log-outs included, and damage records.
//
// A file that cannot be read as the record it should be is moved aside, to a
// name that ends in .corrupt, and logged; its session is gone. The first Load
// answers [core.ErrCorrupt], later ones [core.ErrNotFound]. It is kept for a
// week, for whoever wants to look into it.
//
// # Locks
//
// Writers take one of 256 locks by the session's ID: a file, locked with flock,
// so that the kernel frees it when its process ends, in whatever way. They try,
// wait a moment, and try again, until the context ends: a call of flock that
// waits cannot be cut short, and a process that is stopped while it holds a
// lock would stop all others for good. The lock of a session, see [Store.Lock],
// is held for as long as a request takes. There a goroutine waits in a call of
// flock for whoever waits for the lock, so that the kernel tells when it is free,
// and is left behind if the context ends first.
//
// Within a process those who wait form a queue and one of them tries; between
// processes the one that is next in line is served before those who come later.
// The context is not looked at during a call of the operating system, so a disk
// that hangs holds its callers up.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/internal/expiry"
)

// Config describes a [Store]. Only Dir is required; the zero value of every
// other field is the one for production.
type Config struct {
	// Dir is the directory, of mode 0700, for this store alone. Required.
	Dir string
	// Create makes Dir, and what is missing above it, with mode 0700, if it
	// does not exist. Default: false; it must be there.
	Create bool
	// NoSync does not wait until the disk has what was written. See "When
	// something crashes" for what that may cost. Default: false.
	NoSync bool
	// SweepInterval is how often expired sessions are removed, by all
	// processes that use Dir together: one does it for the others. They are
	// refused from the moment they expire; this only says how long they take
	// up space. Negative: never; call [Store.Sweep] from elsewhere. Default:
	// 5 minutes.
	SweepInterval time.Duration
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
	// Logger is told of files that were moved aside and of sweeps that
	// failed. Default: slog.Default.
	Logger *slog.Logger
}

const (
	defaultSweepInterval = 5 * time.Minute
	openPatience         = 10 * time.Second // for others who open the directory
)

// Store is a [core.Store] in a directory. Make one with [New]; it is safe for
// concurrent use, and any number of stores, in this process or in others, may
// use one directory.
//
// It also is a [core.UserLister], [core.Lister], [core.Sweeper], [core.Expirer],
// [core.VersionDeleter] and [core.Locker]. It is no [core.Counter]: to count
// means to go through all sessions, which is what [Store.List] is for.
type Store struct {
	disk    *disk
	locks   *locks
	clock   func() time.Time
	log     *slog.Logger
	sweeper sweeper
	told    expiry.Listeners // of records that expired

	// life is held for reading by every call and for writing by Close.
	life    sync.RWMutex
	closed  bool
	closing chan struct{} // closed when Close begins: nobody waits any longer
	once    sync.Once
}

var (
	_ core.Store          = (*Store)(nil)
	_ core.UserLister     = (*Store)(nil)
	_ core.Lister         = (*Store)(nil)
	_ core.Sweeper        = (*Store)(nil)
	_ core.VersionDeleter = (*Store)(nil)
	_ core.Locker         = (*Store)(nil)
	_ core.Expirer        = (*Store)(nil)
)

var errClosed = errors.New("filestore: the store is closed")

// New opens the directory and, in an empty one, makes what it needs. An error
// that wraps [core.ErrConfig] says what is wrong with the configuration or the
// directory, and what to do; any other means that the file system failed.
// Call [Store.Close] in the end.
func New(cfg Config) (*Store, error) {
	if cfg.SweepInterval == 0 {
		cfg.SweepInterval = defaultSweepInterval
	}
	if cfg.SweepInterval > 0 && cfg.SweepInterval < time.Millisecond {
		return nil, refuse("SweepInterval is %v, less than a millisecond", cfg.SweepInterval)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	root, err := openDir(cfg.Dir, cfg.Create)
	if err != nil {
		return nil, err
	}
	s := &Store{clock: cfg.Clock, log: cfg.Logger, closing: make(chan struct{})}
	if s.disk, err = openDisk(root, !cfg.NoSync); err != nil {
		return nil, err
	}
	s.locks = newLocks(s.disk.locks, s.closing)
	if err := s.open(); err != nil {
		s.disk.close()
		return nil, err
	}
	s.startSweeper(cfg.SweepInterval)
	return s, nil
}

// open prepares the directory, one process at a time. That it takes a lock
// shows besides whether this file system can lock.
func (s *Store) open() error {
	ctx, cancel := context.WithTimeout(context.Background(), openPatience)
	defer cancel()
	err := s.locks.acquire(ctx, openLock, s.locks.poll)
	if failed := (*os.PathError)(nil); errors.As(err, &failed) && failed.Op == "flock" {
		return refuse("Dir is on a file system that cannot lock files; use one on a local disk: %w", err)
	}
	if err != nil {
		return err
	}
	defer s.locks.release(openLock)
	return s.disk.stamp(s.clock())
}

// Close stops the sweeping, waits for the calls under way, and closes the
// directory; calls that wait for a lock fail. Later ones fail too. Calling
// Close again does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		s.stopSweeper()
		s.life.Lock()
		s.closed = true
		s.disk.close()
		s.life.Unlock()
	})
	return nil
}

// enter begins a call. Without an error, s.life.RUnlock ends it.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return errClosed
	}
	return nil
}

// refuse is an error about the configuration.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: filestore: "+format, append([]any{core.ErrConfig}, args...)...)
}

// openDir opens the directory, if it is there and closed to others.
func openDir(dir string, create bool) (*os.Root, error) {
	if dir == "" {
		return nil, refuse("Dir is empty; name a directory for the sessions alone")
	}
	if !supported {
		return nil, refuse("no file locks on this operating system: %w", errors.ErrUnsupported)
	}
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, refuse("Dir cannot be made: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, refuse("Dir does not exist; make it with: install -d -m 700 %s, or set Create: %w", dir, err)
	}
	if err != nil {
		return nil, refuse("Dir cannot be opened; name a directory for the sessions alone: %w", err)
	}
	// What was opened is looked at, not what has its name by now.
	info, err := root.Stat(".")
	switch {
	case err != nil:
		err = fmt.Errorf("filestore: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		err = refuse("Dir, %s, has mode %04o, which lets other users in; set it with: chmod 700 %s, or use a directory inside it, with Create",
			dir, info.Mode().Perm(), dir)
	default:
		err = checkOwner(dir, info, os.Geteuid())
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}
