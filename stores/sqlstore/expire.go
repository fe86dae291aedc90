package sqlstore

import (
	"context"
	"fmt"

	"github.com/coatcheck/sessions/core"
)

// Expire removes the record of id if it has expired.
func (s *Store) Expire(ctx context.Context, id core.ID) error {
	now := s.now()
	if !s.told.Any() {
		_, err := s.exec(ctx, "expire", s.sql.expire, id.String(), now)
		return err
	}
	rows, err := s.take(ctx, "expire", s.sql.expireTell, []any{id.String(), now}, func(id string) (int64, error) {
		return s.exec(ctx, "expire", s.sql.expire, id, now)
	})
	s.told.Tell(ctx, false, listing(rows)...)
	return err
}

// NotifyExpired has fn called with each expired record that this store removes,
// until cancel is called; see [core.Expirer]. A sweep then has to learn what it
// removes. For that SQLite must be 3.35 or later, and MySQL, which cannot tell
// in one statement, is asked to remove records one by one.
func (s *Store) NotifyExpired(fn func(ctx context.Context, rec core.Record, swept bool)) (cancel func()) {
	return s.told.Add(fn)
}

// sweepTelling is a batch of a sweep that tells.
func (s *Store) sweepTelling(ctx context.Context, from, to int64) (n int, more bool, err error) {
	found := 0
	rows, err := s.take(ctx, "sweep", s.sql.sweepTell, []any{from, to, s.batch}, func(id string) (int64, error) {
		found++
		return s.exec(ctx, "sweep", s.sql.sweepOne, id, from, to)
	})
	s.told.Tell(ctx, true, listing(rows)...)
	return len(rows), max(found, len(rows)) == s.batch, err
}

// take removes rows and returns those that were removed here and nowhere else.
// Where a DELETE cannot return rows, query is a SELECT, and remove is called with
// the ID of each.
func (s *Store) take(ctx context.Context, verb, query string, args []any, remove func(id string) (int64, error)) ([]row, error) {
	if s.dialect != MySQL {
		done, err := s.turn(ctx)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: %s: %w", verb, err)
		}
		defer done()
		return collect(ctx, s, verb, query, args, (*row).columns)
	}
	found, err := collect(ctx, s, verb, query, args, (*row).columns)
	var taken []row
	for _, r := range found {
		n, err := remove(r.id)
		if err != nil {
			return taken, err
		}
		if n > 0 {
			taken = append(taken, r)
		}
	}
	return taken, err
}
