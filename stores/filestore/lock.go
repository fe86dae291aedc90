package filestore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Lock waits until the lock of id is free, here and in all other processes, or
// until ctx ends: then its error wraps the context's. If the process ends, so
// does the lock. It holds nobody off the record; see [core.Locker].
//
// Waiters of this store are served in the order of arrival. If another process
// has the lock, the kernel wakes the first of them, for up to 32 sessions at
// once; beyond that, the store looks every 5 to 10 ms. To be woken takes a thread
// of the operating system that nothing else can wake. If ctx ends, or the store
// is closed, Lock returns at once, and the thread stays until the lock is free,
// for whoever waits for it by then.
func (s *Store) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	s.life.RUnlock() // a lock is held for long, and Close does not wait for it
	name := hex.EncodeToString(id[:])
	if err := s.locks.acquire(ctx, name, s.locks.sleep); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { s.locks.release(name) }), nil
}

// hold takes the lock under which the record of id is changed, and returns
// what releases it. Who has it is done in a moment, so the wait is not worth a
// thread.
func (s *Store) hold(ctx context.Context, id core.ID) (release func(), err error) {
	name := bucketName(id[len(id)-1])
	if err := s.locks.acquire(ctx, name, s.locks.poll); err != nil {
		return nil, err
	}
	return func() { s.locks.release(name) }, nil
}

// locks are locks by name, which one goroutine of one process has at a time.
//
// A lock is a file below dir that its process has flocked. To be next in line
// is a lock itself: its file's name ends in waiting, and who sees it there
// queues up behind it. So a process that releases a lock to take it again at
// once, request after request, does not starve the others.
//
// Files may be removed by who has them flocked: whoever flocks a file looks
// whether its name is still the file's.
type locks struct {
	dir     *os.Root
	closing <-chan struct{}

	// Between two attempts a waiter pauses for shortest at first, doubled
	// each time up to longest.
	shortest, longest time.Duration
	slots             chan struct{} // has room for all sleepers

	mu       sync.Mutex
	queue    map[string]*queue
	sleepers map[string]*sleeper
}

func newLocks(dir *os.Root, closing <-chan struct{}) *locks {
	return &locks{
		dir:      dir,
		closing:  closing,
		shortest: 100 * time.Microsecond,
		longest:  10 * time.Millisecond,
		slots:    make(chan struct{}, maxSleepers),
		queue:    map[string]*queue{},
		sleepers: map[string]*sleeper{},
	}
}

// queue is the goroutines of this process that want or have a lock. There is
// one only while there are any.
type queue struct {
	turn  chan struct{} // has an element while a goroutine has its turn
	count int
	file  *os.File // flocked, if who has the turn has the lock
}

const (
	openLock  = "open"  // of who opens the directory
	sweepLock = "sweep" // of who sweeps in the background
	waiting   = ".next"

	maxSleepers = 32
)

// wait is a way to wait for a lock that another process may have: poll or sleep.
type wait func(ctx context.Context, name string) (*os.File, error)

// acquire waits for a lock until ctx ends.
func (l *locks) acquire(ctx context.Context, name string, how wait) error {
	l.mu.Lock()
	q := l.queue[name]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		l.queue[name] = q
	}
	q.count++
	l.mu.Unlock()

	var err error
	select {
	case q.turn <- struct{}{}:
		if q.file, err = l.claim(ctx, name, how); err == nil {
			return nil
		}
		<-q.turn
	case <-ctx.Done():
		err = fmt.Errorf("filestore: waiting for a lock: %w", ctx.Err())
	case <-l.closing:
		err = errClosed
	}
	l.leave(name, q)
	return err
}

// release gives up a lock that acquire took.
func (l *locks) release(name string) {
	l.mu.Lock()
	q := l.queue[name]
	l.mu.Unlock()
	l.drop(name, q.file)
	q.file = nil
	<-q.turn
	l.leave(name, q)
}

func (l *locks) leave(name string, q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.count--; q.count == 0 {
		delete(l.queue, name)
	}
}

// claim waits for a lock against other processes.
func (l *locks) claim(ctx context.Context, name string, how wait) (*os.File, error) {
	if _, err := l.dir.Lstat(name + waiting); errors.Is(err, os.ErrNotExist) {
		if f, err := l.try(name); f != nil || err != nil {
			return f, err
		}
	}
	next, err := how(ctx, name+waiting)
	if err != nil {
		return nil, err
	}
	defer l.drop(name+waiting, next)
	return how(ctx, name)
}

// poll tries until ctx ends.
func (l *locks) poll(ctx context.Context, name string) (*os.File, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := l.shortest; ; pause = min(2*pause, l.longest) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("filestore: waiting for a lock: %w", ctx.Err())
		case <-l.closing:
			return nil, errClosed
		}
		if f, err := l.try(name); f != nil || err != nil {
			return f, err
		}
		timer.Reset(pause/2 + rand.N(pause/2))
	}
}

// try takes a lock if it is free. It returns nil if it is not.
func (l *locks) try(name string) (*os.File, error) {
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	return l.take(f, name, false)
}

// open opens the file of a lock.
func (l *locks) open(name string) (*os.File, error) {
	f, err := l.dir.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	return f, nil
}

// take flocks the file of a lock; if it is to wait, when it is free. If it is not,
// or is no longer the lock's, it is closed, and take returns nil.
func (l *locks) take(f *os.File, name string, wait bool) (*os.File, error) {
	ok, err := l.own(f, name, wait)
	if ok && err == nil {
		return f, nil
	}
	f.Close()
	return nil, err
}

// own flocks the file of a lock, and reports whether it was free and still is
// the lock's.
func (l *locks) own(f *os.File, name string, wait bool) (bool, error) {
	ok, err := flock(f, wait)
	if err != nil {
		return false, fmt.Errorf("filestore: %w", err)
	}
	if !ok {
		return false, nil
	}
	mine, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("filestore: %w", err)
	}
	named, err := l.dir.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("filestore: %w", err)
	}
	return os.SameFile(mine, named), nil
}

// drop frees a lock. The files of the few locks that records are changed under
// stay; the others are one to a session.
func (l *locks) drop(name string, f *os.File) {
	if !stays(name) {
		l.dir.Remove(name)
	}
	f.Close()
}

func stays(name string) bool { return len(name) == 2 }

// clear removes the file of a lock if its process left it behind.
func (l *locks) clear(name string) error {
	if stays(name) {
		return nil
	}
	f, err := l.try(name)
	if f != nil {
		l.drop(name, f)
	}
	return err
}
