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
	// another process holds, while nobody would tell.
	minPause = 2 * time.Millisecond
	maxPause = 64 * time.Millisecond
)

// Lock waits until the lock of id is free or ctx ends. Callers of this store
// take turns in the order of arrival. In other processes one each waits at the
// server, in no order, and is woken by a message when the lock is given back.
// Should the message be lost, it looks again within half a second; while there
// is no subscription, since it is being made or the server forbids it, within 64
// milliseconds. A process that dies frees its locks within 5 seconds. A server
// that fails over may give a lock to two: the version of the record remains the
// fence.
//
// The first wait for another process begins the subscription, on a connection of
// its own from the client's pool for blocking commands. It ends with
// [Store.Close], or after a minute or two in which nobody waited.
func (s *Store) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	if err := s.queues.wait(ctx, id); err != nil {
		return nil, failure(ctx, err)
	}
	l := s.newLock(id)
	if err := s.acquire(ctx, l); err != nil {
		s.queues.pass(id)
		return nil, failure(ctx, err)
	}
	done := make(chan struct{})
	go s.renew(l, done)
	return sync.OnceFunc(func() {
		close(done)
		s.release(l)
		s.queues.pass(id)
	}), nil
}

// lock is one that this process has or wants.
type lock struct {
	name  string   // of the ID
	keys  []string // the lock, and the mark that somebody waits for it
	owner string
}

// newLock returns the lock of an ID for a new owner. The braces put the mark
// into the lock's slot of a Cluster, and the prefix before them under the key
// pattern of the user. The mark has a key of its own so that a lock is just
// its owner, and has one string to be compared.
func (s *Store) newLock(id core.ID) lock {
	name := id.String()
	key := s.prefix + ":l:" + name
	return lock{name: name, keys: []string{key, s.prefix + ":w:{" + key + "}"}, owner: rand.Text()}
}

// acquire takes the lease when it is free.
func (s *Store) acquire(ctx context.Context, l lock) error {
	cmd := s.client.B().Set().Key(l.keys[0]).Value(l.owner).Nx().PxMilliseconds(s.lease.Milliseconds()).Build()
	_, err := s.do(ctx, s.client, cmd)
	if rueidis.IsRedisNil(err) {
		return s.await(ctx, l)
	}
	if lost(err) {
		s.release(l) // it may have been given
	}
	return err
}

// await takes the lease that another process has, when that gives it back or
// loses it. No release is missed: the lock is marked only when a message about
// it will be heard, in the step that finds it taken, and who waits when the
// subscription begins looks once more.
func (s *Store) await(ctx context.Context, l lock) error {
	woken := s.watch.join(l.name)
	defer s.watch.leave(l.name)
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		mark, told := "", s.told()
		if told {
			mark = durationMillis(s.watch.look + s.lease) // until after the next look
		}
		left, err := s.number(ctx, takeScript, l.keys, l.owner, durationMillis(s.lease), mark)
		if lost(err) {
			s.release(l)
		}
		if err != nil || left == codeTaken {
			return err
		}
		wait := pause/2 + mathrand.N(pause/2)
		if told {
			wait = s.watch.look
			if left >= 0 {
				wait = min(wait, time.Duration(left+1)*time.Millisecond)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-woken:
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// codeTaken is the answer of takeScript when it took the lock: what PTTL says of
// no key.
const codeTaken = -2

var (
	// takeScript takes the owner, the lease, and how long to mark a lock that
	// is taken as waited for, or "". It answers with what is left of the lease.
	takeScript = rueidis.NewLuaScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return -2 end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], '', 'PX', ARGV[3]) end
return redis.call('PTTL', KEYS[1])`)

	renewScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

	// releaseScript takes the owner, and the message for who waits with its
	// channel, which the user need not be allowed.
	releaseScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('DEL', KEYS[1], KEYS[2]) == 2 then redis.pcall('PUBLISH', ARGV[2], ARGV[3]) end
return 1`)
)

// renew prolongs the lease until done is closed or another has it.
func (s *Store) renew(l lock, done <-chan struct{}) {
	ticker := time.NewTicker(s.lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.lease/3)
		code, err := s.run(ctx, renewScript, l.keys[0], l.owner, durationMillis(s.lease))
		cancel()
		if err == nil && code != codeDone {
			return
		}
	}
}

// release gives the lease back. If that fails, it ends by itself.
func (s *Store) release(l lock) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	_, _ = s.number(ctx, releaseScript, l.keys, l.owner, s.channel(), l.name)
}

func durationMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

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
