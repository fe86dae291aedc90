package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// lookPause is how often one who would be told looks all the same: a
	// message can be lost, and not every release is told.
	lookPause = 500 * time.Millisecond
	// subscribePause is the least time from one attempt to subscribe to the
	// next, so that a server that refuses is not pestered.
	subscribePause = 5 * time.Second
	// idlePause is how long nobody waits before the subscription ends. It
	// takes a connection, which the next to wait would have to make anew.
	idlePause = time.Minute
)

// watch is who in this process waits for a lock that another has, and the
// subscription to the messages that tell of locks given back.
type watch struct {
	look, retry, idle time.Duration

	mu      sync.Mutex
	waiting map[string]chan struct{} // by name of the lock; one of its queue waits here
	used    bool                     // somebody waited since the last look at that
	live    bool                     // what is told from now on is heard
	stop    context.CancelFunc       // ends the subscription; nil if there is none
	next    time.Time                // no attempt to subscribe before
	closed  bool
}

func newWatch() watch {
	return watch{look: lookPause, retry: subscribePause, idle: idlePause, waiting: map[string]chan struct{}{}}
}

// join returns a channel that tells when to look at the lock again.
func (w *watch) join(name string) (woken <-chan struct{}) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[name] = c
	w.used = true
	return c
}

func (w *watch) leave(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, name)
}

func (w *watch) wake(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.waiting[name]; c != nil {
		nudge(c)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will look anyway
	}
}

// became notes whether the subscription of ctx is heard, unless another has
// taken its place. Everybody looks again: what was told before is lost, and how
// long to wait has changed.
func (w *watch) became(ctx context.Context, live bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil {
		w.set(live)
	}
}

func (w *watch) set(live bool) {
	if w.live = live; !live && w.stop != nil {
		w.stop()
		w.stop = nil
	}
	for _, c := range w.waiting {
		nudge(c)
	}
}

// endUnused ends the subscription if nobody waited since the last call.
func (w *watch) endUnused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.used && len(w.waiting) == 0 {
		w.set(false)
	}
	w.used = false
}

// Close ends the connection on which the store hears of locks, if it has one,
// and does not wait for that. The client stays open, and so does the store; but
// whoever waits for a lock of another process is not woken any more, and looks
// every 64 milliseconds. [core.Manager.Close] calls it; without it, that
// connection may outlast the client by a minute or two. It never fails.
func (s *Store) Close() error {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.set(false)
	return nil
}

// channel is where it is told which locks are given back. Numbers of databases
// do not divide channels, so it hears of others, too.
func (s *Store) channel() string { return s.prefix + ":l" }

// told reports whether a release will be told from now on. If not, it sees to
// that, as far as there is something to be done.
func (s *Store) told() bool {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.stop == nil && !w.closed && !now.Before(w.next) {
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		w.next = now.Add(w.retry)
		go s.listen(ctx)
	}
	return w.live
}

// listen subscribes, and ends when ctx does or the connection is lost. The
// connection is one of its own: messages do not wait behind records, commands
// do not suffer what the server does to connections that subscribe, and the
// loss is noticed under RESP2 too, where the client's other way to receive
// would try a dead connection for ever.
func (s *Store) listen(ctx context.Context) {
	client, _ := s.client.Dedicate()
	defer client.Close()
	lost := client.SetPubSubHooks(rueidis.PubSubHooks{
		OnSubscription: func(e rueidis.PubSubSubscription) { s.watch.became(ctx, e.Kind == "subscribe") },
		OnMessage:      func(m rueidis.PubSubMessage) { s.watch.wake(m.Message) },
	})
	defer s.watch.became(ctx, false)
	if client.Do(ctx, client.B().Subscribe().Channel(s.channel()).Build()).Error() != nil {
		return
	}
	idle := time.NewTicker(s.watch.idle)
	defer idle.Stop()
	for {
		select {
		case <-lost:
			return
		case <-ctx.Done():
			return
		case <-idle.C:
			s.watch.endUnused()
		}
	}
}
