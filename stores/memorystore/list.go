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
		var ids []core.ID
		var recs []core.Record
		for i := range s.shards {
			sh := &s.shards[i]
			ids = sh.ids(ids[:0])
			for rest := ids; len(rest) > 0; {
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

// ids appends the IDs of all entries.
func (sh *shard) ids(to []core.ID) []core.ID {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id := range sh.slots {
		to = append(to, id)
	}
	return to
}

// records appends the live records of some IDs.
func (sh *shard) records(ids []core.ID, now int64, to []core.Record) []core.Record {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, id := range ids {
		if e, _, err := sh.find(id, now); err == nil {
			to = append(to, e.record())
		}
	}
	return to
}
