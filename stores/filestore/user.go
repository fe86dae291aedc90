package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/coatcheck/sessions/core"
)

// Which sessions a user has is told by the names of empty files, entries, which
// begin with a hash of the user and end with the ID. An entry is made before
// the record says so and removed after it stopped to, both under the record's
// lock; what one says is believed only if the record says the same. So one too
// many costs a look, and none is ever missing.

const hashLen = 16 // bytes; another user with the same is told apart by the records

// userKey is what the names of a user's entries begin with.
func userKey(user string) (bucket, prefix string) {
	sum := sha256.Sum256([]byte(user))
	return bucketName(sum[0]), hex.EncodeToString(sum[:hashLen]) + "-"
}

// entryName is where the entry of a user and an ID is, below users.
func entryName(user string, id core.ID) string {
	_, prefix := userKey(user)
	return entryPath(prefix + hex.EncodeToString(id[:]))
}

// entryPath is where an entry is, by the last part of its name.
func entryPath(name string) string { return name[:2] + "/" + name }

// parseEntry reads the last part of an entryName.
func parseEntry(name string) (id core.ID, ok bool) {
	const prefixLen = 2*hashLen + 1
	if len(name) < prefixLen || name[prefixLen-1] != '-' {
		return id, false
	}
	return parseID(name[prefixLen:])
}

// enlist makes a user's entry for a record. The record's lock is held.
func (s *Store) enlist(user string, id core.ID) error {
	return s.disk.mark(s.disk.users, entryName(user, id))
}

// delist removes a user's entry. The record's lock is held. If it fails, an
// entry too many is left.
func (s *Store) delist(user string, id core.ID) {
	if user != "" {
		s.disk.remove(s.disk.users, entryName(user, id), false)
	}
}

// enlisted reports whether a user has an entry for a record.
func (s *Store) enlisted(user string, id core.ID) bool {
	return has(s.disk.users, entryName(user, id))
}

// ListUser returns the live records of a user. It looks at a 256th of all
// users' sessions by name, and into those of this user.
func (s *Store) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	bucket, prefix := userKey(user)
	names, err := s.disk.names(s.disk.users, bucket)
	if err != nil {
		return nil, err
	}
	var out []core.Record
	for _, name := range names {
		id, ok := parseEntry(name)
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("filestore: %w", err)
		}
		rec, err := s.read(id)
		switch {
		case err == nil && rec.User == user:
			if s.live(&rec) {
				out = append(out, rec)
			}
		case err == nil, errors.Is(err, core.ErrNotFound):
			// Stale, or its record is about to be written. Sweep knows.
		case errors.Is(err, core.ErrCorrupt):
			if err := s.condemn(ctx, id); err != nil && !errors.Is(err, core.ErrCorrupt) && !errors.Is(err, core.ErrNotFound) {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	return out, nil
}
