package filestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Sweep removes the records with from <= ExpiresAt < to and returns how many.
// It looks into every record, but holds up only requests for one that it
// removes, and for no longer than that takes. What it cannot read it leaves for
// the next time; the error tells the first. If ctx ends, it stops with its
// error. It begins anywhere, so that sweeps which all end early get everywhere too.
//
// It also clears away what killed processes left: half-written files, locks,
// and users' entries without a record. It makes entries that are missing, and
// removes files that were moved aside a week ago.
func (s *Store) Sweep(ctx context.Context, from, to time.Time) (removed int, err error) {
	p := pass{store: s, ctx: ctx, from: from, to: to}
	first := rand.IntN(buckets)
	p.dir(s.disk.locks, ".", p.lock)
	for i := range buckets {
		bucket := bucketName(byte(first + i))
		p.dir(s.disk.records, bucket, p.record)
		p.dir(s.disk.users, bucket, p.entry)
	}
	return p.removed, p.err
}

// lockPatience bounds how long a sweep waits for a lock. It takes longer only
// if a process that holds it was stopped, or the disk hardly moves.
const lockPatience = time.Second

// pass is one sweep.
type pass struct {
	store    *Store
	ctx      context.Context
	from, to time.Time
	removed  int
	gone     []core.Record // of those, who has yet to be told of
	err      error         // the first
	over     bool
}

// dir calls fn with the names of all files in a directory.
func (p *pass) dir(root *os.Root, dir string, fn func(name string) error) {
	if p.over {
		return
	}
	if err := p.store.enter(p.ctx); err != nil {
		p.fail(err)
		p.over = true
		return
	}
	defer p.tell()
	defer p.store.life.RUnlock()
	names, err := p.store.disk.names(root, dir)
	p.fail(err)
	for _, name := range names {
		p.fail(fn(name))
		if err := p.ctx.Err(); err != nil {
			p.fail(fmt.Errorf("filestore: %w", err))
			p.over = true
			return
		}
	}
}

// tell tells of the records that were removed. No lock is held.
func (p *pass) tell() {
	p.store.told.Tell(p.ctx, true, p.gone...)
	p.gone = p.gone[:0]
}

func (p *pass) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// patient calls fn with a context that ends when it waited long enough.
func (p *pass) patient(fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(p.ctx, lockPatience)
	defer cancel()
	return fn(ctx)
}

// hold calls fn under the lock of a record.
func (p *pass) hold(id core.ID, fn func() error) error {
	return p.patient(func(ctx context.Context) error {
		release, err := p.store.hold(ctx, id)
		if err != nil {
			return err
		}
		defer release()
		return fn()
	})
}

func (p *pass) due(rec *core.Record) bool {
	return !rec.ExpiresAt.Before(p.from) && rec.ExpiresAt.Before(p.to)
}

// record looks at a file in a bucket of records.
func (p *pass) record(name string) error {
	s := p.store
	id, ending, ok := parseName(name)
	switch {
	case !ok:
		return nil // nobody knows whose
	case ending == temporary:
		// Whoever writes it has the lock. With the lock in hand, it is left
		// over.
		return p.hold(id, func() error {
			return s.disk.remove(s.disk.records, recordName(id)+temporary, false)
		})
	case ending == corrupt:
		return p.corrupt(id)
	}
	rec, err := s.read(id)
	switch {
	case errors.Is(err, core.ErrNotFound):
		return nil
	case errors.Is(err, core.ErrCorrupt):
		return p.patient(func(ctx context.Context) error {
			if err := s.condemn(ctx, id); !errors.Is(err, core.ErrCorrupt) && !errors.Is(err, core.ErrNotFound) {
				return err
			}
			return nil
		})
	case err != nil:
		return err
	case !p.due(&rec) && (rec.User == "" || s.enlisted(rec.User, id)):
		return nil
	}
	return p.hold(id, func() error {
		rec, err := s.read(id) // it may have changed since
		switch {
		case errors.Is(err, core.ErrNotFound):
			return nil
		case err != nil:
			return err
		case p.due(&rec):
			if err := s.drop(&rec, false); err != nil {
				return err
			}
			p.removed++
			if s.told.Any() {
				p.gone = append(p.gone, rec)
			}
		case rec.User != "":
			return s.enlist(rec.User, id)
		}
		return nil
	})
}

// corrupt removes a file that was moved aside long ago.
func (p *pass) corrupt(id core.ID) error {
	s, name := p.store, recordName(id)+corrupt
	old := func() bool {
		info, err := s.disk.records.Lstat(name)
		return err == nil && s.clock().Sub(info.ModTime()) >= keepCorrupt
	}
	if !old() {
		return nil
	}
	return p.hold(id, func() error {
		if !old() {
			return nil
		}
		return s.disk.remove(s.disk.records, name, false)
	})
}

// entry looks at a file in a bucket of users.
func (p *pass) entry(name string) error {
	s := p.store
	id, ok := parseEntry(name)
	if !ok || has(s.disk.records, recordName(id)) {
		return nil
	}
	return p.hold(id, func() error {
		// A record that is being created has its entry first.
		if has(s.disk.records, recordName(id)) {
			return nil
		}
		return s.disk.remove(s.disk.users, entryPath(name), false)
	})
}

// lock looks at the file of a lock.
func (p *pass) lock(name string) error { return p.store.locks.clear(name) }

// NotifyExpired has fn called with each expired record that this process
// removes, until cancel is called; see [core.Expirer]. A loss of power may bring
// back a record that was just removed; it is then told of again.
func (s *Store) NotifyExpired(fn func(ctx context.Context, rec core.Record, swept bool)) (cancel func()) {
	return s.told.Add(fn)
}

// sweeper sweeps in the background.
type sweeper struct {
	interval time.Duration
	ctx      context.Context // ends when the store is closed
	cancel   context.CancelFunc

	mu    sync.Mutex // held while it sweeps
	timer *time.Timer
}

func (s *Store) startSweeper(interval time.Duration) {
	w := &s.sweeper
	w.ctx, w.cancel = context.WithCancel(context.Background())
	if w.interval = interval; interval > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.timer = time.AfterFunc(s.untilSweep(), s.sweep)
	}
}

func (s *Store) stopSweeper() {
	w := &s.sweeper
	w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// sweep is one run of the sweeper. If another process sweeps, or swept not long
// ago, it leaves it at that.
func (s *Store) sweep() {
	w := &s.sweeper
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	if err := s.sweepIfDue(w.ctx); err != nil && w.ctx.Err() == nil {
		s.log.LogAttrs(w.ctx, slog.LevelWarn, "filestore: the sweep of expired sessions failed", slog.String("error", err.Error()))
	}
	// It is still due if it failed, or if another process is at it.
	w.timer.Reset(max(s.untilSweep(), w.interval/8))
}

func (s *Store) sweepIfDue(ctx context.Context) error {
	f, err := s.locks.try(sweepLock)
	if f == nil || err != nil {
		return err
	}
	defer s.locks.drop(sweepLock, f)
	if s.untilSweep() > 0 {
		return nil
	}
	now := s.clock()
	if _, err := s.Sweep(ctx, time.Time{}, now); err != nil {
		return err
	}
	return s.disk.setSwept(now)
}

// untilSweep is how long it is until a sweep is due.
func (s *Store) untilSweep() time.Duration {
	swept, err := s.disk.swept()
	since := s.clock().Sub(swept)
	if err != nil || since < 0 || since >= s.sweeper.interval {
		return 0
	}
	return s.sweeper.interval - since
}
