package memorystore

import (
	"context"
	"iter"

	"github.com/coatcheck/sessions/core"
)

// List yields the live records, in no order, each as it is when its turn
// comes, or nearly so. No lock is held while the caller looks at one, so the
// store may be used in the loop. If ctx ends, List stops with its error.
func (s *Store) List(ctx context.Context) iter.Seq2[core.Record, error] {
	return func(yield func(core.Record, error) bool) {
		var entries []*entry
		var recs []core.Record
		for i := range s.shards {
			sh := &s.shards[i]
			sh.mu.Lock()
			entries = sh.expiry.before(never, entries[:0])
			sh.mu.Unlock()
			for rest := entries; len(rest) > 0; {
				if err := ctx.Err(); err != nil {
					yield(core.Record{}, err)
					return
				}
				n := min(batch, len(rest))
				recs = sh.records(rest[:n], s.now(), recs[:0])
				rest = rest[n:]
				for _, rec := range recs {
					if !yield(rec, nil) {
						return
					}
				}
			}
		}
	}
}

// records appends the live records of some entries.
func (sh *shard) records(entries []*entry, now int64, to []core.Record) []core.Record {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, e := range entries {
		if !e.gone && e.live(now) {
			to = append(to, e.record())
		}
	}
	return to
}
