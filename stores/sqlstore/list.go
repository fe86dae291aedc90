package sqlstore

import (
	"context"
	"iter"

	"github.com/coatcheck/sessions/core"
)

// ListUser returns the live records of a user, found by index, without their
// Values. A record that cannot be read back is among them, by what its columns
// say: so "log out everywhere" ends it too.
func (s *Store) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	if user == "" || len(user) > maxUser {
		return nil, nil
	}
	rows, err := collect(ctx, s, "list user", s.sql.listUser, []any{[]byte(user), s.now()}, (*row).columns)
	return listing(rows), err
}

// List yields the live records in the order of their IDs, without their Values,
// fetched by the hundred; no connection is held meanwhile.
func (s *Store) List(ctx context.Context) iter.Seq2[core.Record, error] {
	return func(yield func(core.Record, error) bool) {
		for last := ""; ; {
			rows, err := collect(ctx, s, "list", s.sql.list, []any{last, s.now()}, (*row).columns)
			if err != nil {
				yield(core.Record{}, err)
				return
			}
			for _, rec := range listing(rows) {
				if !yield(rec, nil) {
					return
				}
			}
			if len(rows) < listed {
				return
			}
			last = rows[len(rows)-1].id
		}
	}
}

// Count returns how many records are live. The database counts the entries of
// an index: a moment for a million.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	err = s.query(ctx, "count", s.sql.count, []any{s.now()}, &n)
	return n, err
}

// columns are where a listed row goes.
func (r *row) columns() []any {
	return []any{&r.id, &r.version, &r.user, &r.access, &r.expires, &r.data}
}

// listing turns rows into records without Values.
func listing(rows []row) []core.Record {
	recs := make([]core.Record, 0, len(rows))
	for _, r := range rows {
		rec, err := r.record()
		if err != nil {
			id, err := core.ParseID(r.id)
			if err != nil {
				continue // nothing of ours
			}
			rec = core.Record{ID: id, Version: uint64(r.version), User: string(r.user),
				LastAccess: instant(r.access), ExpiresAt: instant(r.expires)}
			rec.Deadline, rec.IdleTimeout = rec.ExpiresAt, rec.ExpiresAt.Sub(rec.LastAccess)
		}
		rec.Values = nil
		recs = append(recs, rec)
	}
	return recs
}
