// Package sweep removes expired sessions where the store does not do it by
// itself: a store of your own, or any store in a process that does not live
// long enough.
//
// A server that stays sweeps in the background:
//
//	go sweep.Every(ctx, sessions, 5*time.Minute)
//
// A process that answers a few requests and ends, or has to be idle between
// them, sweeps on the way:
//
//	handler = sweep.Sometimes(sessions, 0.01)(handler)
//
// Neither is needed with the stores of this module in a server: they sweep in
// the background, each for all nodes where it can. Expired sessions are never
// served, swept or not: sweeping only gives room back.
//
// A sweep that fails is logged as a warning by [slog.Default], and the next one
// tries again. To hear of it in another way, or of how many were removed, call
// [core.Manager.Sweep].
package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
)

// patience bounds a sweep that a request waits for.
const patience = 10 * time.Second

// Every sweeps again and again, at the interval give or take a half, so that
// nodes do not all come at once; the first time after such a pause. It returns
// when ctx ends, which also ends a sweep under way. A sweep that takes longer
// than the interval is cut off there, and the next one goes on. Every panics if
// interval is not positive.
func Every(ctx context.Context, m *core.Manager, interval time.Duration) {
	if interval <= 0 {
		panic(fmt.Sprintf("sweep: the interval is %v; use minutes", interval))
	}
	for {
		timer := time.NewTimer(interval/2 + rand.N(interval))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		once(ctx, m, interval)
	}
}

// Sometimes returns a middleware that sweeps after a request with this
// probability: 0 never, 1 after each. The client of that request may wait for
// it, and the first error or 10 seconds end it. It goes anywhere in the chain.
// Sometimes panics if the probability is not between 0 and 1.
//
// One in a hundred requests is enough for most. To expire faster makes no
// session safer.
func Sometimes(m *core.Manager, probability float64) func(http.Handler) http.Handler {
	return sometimes(m, probability, rand.Float64)
}

// sometimes takes its dice, of which each throw is in [0, 1).
func sometimes(m *core.Manager, probability float64, dice func() float64) func(http.Handler) http.Handler {
	if !(probability >= 0 && probability <= 1) { // not a number is neither
		panic(fmt.Sprintf("sweep: the probability is %v; use 0 to 1", probability))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if dice() < probability {
				// The client may be gone by now.
				once(context.WithoutCancel(r.Context()), m, patience)
			}
		})
	}
}

// once is one sweep.
func once(ctx context.Context, m *core.Manager, most time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if _, err := m.Sweep(bounded); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "sessions: sweep failed, will be tried again", slog.Any("error", err))
	}
}
