package filestore

import (
	"context"
	"fmt"
	"os"
)

// sleeper is a goroutine in a call of flock that waits. The kernel wakes it when
// the lock is free, and nothing else can: whoever it sleeps for may leave, but the
// sleeper stays. If another of this process comes to wait for the lock, it sleeps
// for that one. If nobody has when it wakes, it gives the lock up at once.
type sleeper struct {
	wanted bool // guarded by locks.mu
	woke   chan woken
}

// woken is what a sleeper comes back with.
type woken struct {
	file *os.File
	err  error
}

// sleep waits for a lock as poll does, but is woken. If there are too many
// sleepers, it polls. Only one goroutine at a time waits for a name.
func (l *locks) sleep(ctx context.Context, name string) (*os.File, error) {
	s, err := l.sleeper(name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return l.poll(ctx, name)
	}
	select {
	case w := <-s.woke:
		return w.file, w.err
	case <-ctx.Done():
		err = fmt.Errorf("filestore: waiting for a lock: %w", ctx.Err())
	case <-l.closing:
		err = errClosed
	}
	l.mu.Lock()
	s.wanted = false
	l.mu.Unlock()
	select {
	case w := <-s.woke: // it woke in time
		if w.file != nil {
			l.drop(name, w.file)
		}
	default:
	}
	return nil, err
}

// sleeper returns one that wants a lock for the caller, or nil if there are too
// many.
func (l *locks) sleeper(name string) (*sleeper, error) {
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sleepers[name]
	if s != nil {
		f.Close()
		s.wanted = true
		return s, nil
	}
	select {
	case l.slots <- struct{}{}:
	default:
		f.Close()
		return nil, nil
	}
	s = &sleeper{wanted: true, woke: make(chan woken, 1)}
	l.sleepers[name] = s
	go l.run(s, name, f)
	return s, nil
}

// run sleeps until it has the lock, or finds that nobody wants it. A file that
// lost its name meanwhile is no lock: then it begins anew with the one that has
// the name now.
func (l *locks) run(s *sleeper, name string, f *os.File) {
	f, err := l.take(f, name, true)
	l.mu.Lock()
	for s.wanted && f == nil && err == nil {
		l.mu.Unlock()
		if f, err = l.open(name); err == nil {
			f, err = l.take(f, name, true)
		}
		l.mu.Lock()
	}
	delete(l.sleepers, name)
	if s.wanted {
		<-l.slots // first, since whoever is woken may want to sleep again
		s.woke <- woken{f, err}
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	if f != nil {
		l.drop(name, f)
	}
	<-l.slots
}
