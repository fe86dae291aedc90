package kvstore

import (
	"context"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Sweep removes expired records; it makes the store a core.Sweeper. An engine
// that forgets by itself, with a time to live for each key, needs none.
func (s *Store) Sweep(ctx context.Context, from, to time.Time) (removed int, err error) {
	s.engine.Range(func(key, stored any) bool {
		var rec core.Record
		due := rec.UnmarshalBinary([]byte(stored.(string))) == nil &&
			!rec.ExpiresAt.Before(from) && rec.ExpiresAt.Before(to)
		// Only what was looked at: a request may just have prolonged it.
		if due && s.engine.CompareAndDelete(key, stored) {
			removed++
		}
		return ctx.Err() == nil
	})
	return removed, ctx.Err()
}
