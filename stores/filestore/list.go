package filestore

import (
	"context"
	"errors"
	"iter"

	"github.com/coatcheck/sessions/core"
)

// List yields the live records, in no order, each as it is when its turn comes.
// The store may be used in the loop. If ctx ends, List stops with its error.
// Where the file system gives a name another place when a file is renamed over
// it, a record that is changed at this very moment may be missed.
func (s *Store) List(ctx context.Context) iter.Seq2[core.Record, error] {
	return func(yield func(core.Record, error) bool) {
		for i := range buckets {
			bucket := bucketName(byte(i))
			names, err := s.names(ctx, bucket)
			if err != nil {
				yield(core.Record{}, err)
				return
			}
			for _, name := range names {
				id, ok := parseID(name)
				if !ok {
					continue
				}
				rec, err := s.Load(ctx, id)
				switch {
				case err == nil:
					if !yield(rec, nil) {
						return
					}
				case errors.Is(err, core.ErrNotFound), errors.Is(err, core.ErrExpired), errors.Is(err, core.ErrCorrupt):
				default:
					yield(core.Record{}, err)
					return
				}
			}
		}
	}
}

// names returns the names of the files in a bucket of records.
func (s *Store) names(ctx context.Context, bucket string) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	return s.disk.names(s.disk.records, bucket)
}
