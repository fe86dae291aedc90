package sqlstore

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Sweep removes the records with from <= ExpiresAt < to and returns how many.
// It goes by the index of expiry and in batches, each of which locks no other
// record and none for long. Nodes that sweep at once share the work. After an
// error, what was removed so far is counted.
func (s *Store) Sweep(ctx context.Context, from, to time.Time) (int, error) {
	batch := s.sweepBatch
	switch {
	case s.told.Any():
		batch = s.sweepTelling
	case s.dialect == MySQL:
		batch = s.sweepBatchMySQL
	}
	for total := 0; ; {
		n, more, err := batch(ctx, from.UnixMilli(), to.UnixMilli())
		if total += n; err != nil {
			return total, err
		}
		if !more {
			// Leases that nobody gave back: their process died.
			_, err = s.exec(ctx, "sweep", s.sql.sweepLocks, s.now())
			return total, err
		}
	}
}

func (s *Store) sweepBatch(ctx context.Context, from, to int64) (n int, more bool, err error) {
	removed, err := s.exec(ctx, "sweep", s.sql.sweep, from, to, s.batch)
	return int(removed), removed == int64(s.batch), err
}

func (s *Store) sweepBatchMySQL(ctx context.Context, from, to int64) (n int, more bool, err error) {
	ids, err := collect(ctx, s, "sweep", s.sql.sweepFind, []any{from, to, s.batch}, func(id *string) []any { return []any{id} })
	if err != nil || len(ids) == 0 {
		return 0, false, err
	}
	slices.Sort(ids)
	args := []any{from, to}
	for i := range s.batch {
		args = append(args, ids[min(i, len(ids)-1)]) // the statement has room for a whole batch
	}
	removed, err := s.exec(ctx, "sweep", s.sql.sweepFound, args...)
	return int(removed), len(ids) == s.batch, err
}

// sweeper sweeps now and then.
type sweeper struct {
	interval time.Duration
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	once     sync.Once // of start and close, the first counts
	done     chan struct{}
}

func newSweeper(interval time.Duration, log *slog.Logger) *sweeper {
	ctx, cancel := context.WithCancel(context.Background())
	return &sweeper{interval: interval, log: log, ctx: ctx, cancel: cancel, done: make(chan struct{})}
}

func (w *sweeper) start(s *Store) {
	if w.interval > 0 {
		w.once.Do(func() { go w.run(s) })
	}
}

func (w *sweeper) close() {
	w.cancel()
	w.once.Do(func() { close(w.done) })
	<-w.done
}

func (w *sweeper) run(s *Store) {
	defer close(w.done)
	timer := time.NewTimer(w.pause())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-w.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(w.ctx, w.interval)
		err := w.sweep(ctx, s)
		cancel()
		if err != nil && w.ctx.Err() == nil {
			w.log.Warn("sessions: sweep failed, will be tried again", "store", s.String(), "error", err)
		}
		timer.Reset(w.pause())
	}
}

// sweep sweeps, unless another node is at it or did it within the last half of
// an interval: a lease keeps that, which a node that dies does not hold for
// longer than an interval.
func (w *sweeper) sweep(ctx context.Context, s *Store) error {
	now, owner := s.clock(), rand.Text()
	got, err := s.claim(ctx, "sweep", s.sql.lock, s.sql.relock,
		[]any{sweepLease}, []any{owner, now.Add(w.interval).UnixMilli()})
	if err != nil || !got {
		return err
	}
	_, err = s.Sweep(ctx, time.Time{}, now)
	until := now.Add(w.interval / 2)
	if err != nil {
		until = now // somebody else may have more luck
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
	defer cancel()
	// If this fails, the lease ends by itself.
	s.exec(ctx, "sweep", s.sql.renew, until.UnixMilli(), sweepLease, owner)
	return err
}

// sweepLease is where an ID would be among the locks, which are all longer.
const sweepLease = "sweep"

// pause is the interval, give or take a half.
func (w *sweeper) pause() time.Duration {
	return w.interval/2 + time.Duration(mathrand.Int64N(int64(w.interval)))
}
