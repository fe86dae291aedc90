package redisstore

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

const (
	// lockLease is how long a lock outlives its holder. It is renewed
	// meanwhile.
	lockLease = 5 * time.Second
	// releaseTimeout bounds the end of a request whose lock cannot be given
	// back.
	releaseTimeout = time.Second

	// minPause and maxPause bound the wait between looks at a lock that
	// another process holds.
	minPause = 2 * time.Millisecond
	maxPause = 64 * time.Millisecond
)

// Lock waits until the lock of id is free or ctx ends. Callers of this store
// take turns in the order of arrival; other processes look again every now and
// then, at most 64 milliseconds apart, in no order. A process that dies frees
// its locks within 5 seconds. A server that fails over may give a lock to two:
// the version of the record remains the fence.
func (s *Store) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	if err := s.queues.wait(ctx, id); err != nil {
		return nil, failure(ctx, err)
	}
	key, owner := s.prefix+":l:"+id.String(), rand.Text()
	if err := s.acquire(ctx, key, owner); err != nil {
		s.queues.pass(id)
		return nil, failure(ctx, err)
	}
	done := make(chan struct{})
	go s.renew(key, owner, done)
	return sync.OnceFunc(func() {
		close(done)
		s.release(key, owner)
		s.queues.pass(id)
	}), nil
}

// acquire takes the lease when it is free.
func (s *Store) acquire(ctx context.Context, key, owner string) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		_, err := s.do(ctx, s.client, s.client.B().Set().Key(key).Value(owner).Nx().PxMilliseconds(s.lease.Milliseconds()).Build())
		if lost(err) {
			s.release(key, owner) // it may have been given
		}
		if !rueidis.IsRedisNil(err) {
			return err
		}
		timer := time.NewTimer(pause/2 + mathrand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

var (
	renewScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

	releaseScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// renew prolongs the lease until done is closed or another has it.
func (s *Store) renew(key, owner string, done <-chan struct{}) {
	ticker := time.NewTicker(s.lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.lease/3)
		code, err := s.run(ctx, renewScript, key, owner, strconv.FormatInt(s.lease.Milliseconds(), 10))
		cancel()
		if err == nil && code != codeDone {
			return
		}
	}
}

// release gives the lease back. If that fails, it ends by itself.
func (s *Store) release(key, owner string) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	_, _ = s.run(ctx, releaseScript, key, owner)
}

// queues is who waits in this process for which ID.
type queues struct {
	mu sync.Mutex
	of map[core.ID]*queue
}

// queue lets one at a time sit down, first come, first served.
type queue struct {
	seat  chan struct{}
	users int // who sits or waits; guarded by queues.mu
}

func newQueues() queues { return queues{of: map[core.ID]*queue{}} }

// wait returns when it is the caller's turn, or ctx ends.
func (qs *queues) wait(ctx context.Context, id core.ID) error {
	qs.mu.Lock()
	q := qs.of[id]
	if q == nil {
		q = &queue{seat: make(chan struct{}, 1)}
		qs.of[id] = q
	}
	q.users++
	qs.mu.Unlock()
	select {
	case q.seat <- struct{}{}:
		return nil
	case <-ctx.Done():
		qs.forget(id, q)
		return ctx.Err()
	}
}

// pass ends the caller's turn.
func (qs *queues) pass(id core.ID) {
	qs.mu.Lock()
	q := qs.of[id]
	qs.mu.Unlock()
	<-q.seat
	qs.forget(id, q)
}

func (qs *queues) forget(id core.ID, q *queue) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(qs.of, id)
	}
}
