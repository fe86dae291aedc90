package filestore

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coatcheck/sessions/core"
)

// keepCorrupt is how long a file that was moved aside is kept.
const keepCorrupt = 7 * 24 * time.Hour

// condemn moves the file of a record aside if it still cannot be read now that
// the lock is held. The answer is the one for a Load that could not read it.
func (s *Store) condemn(ctx context.Context, id core.ID) error {
	release, err := s.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	_, err = s.read(id)
	switch {
	case err == nil:
		return core.ErrNotFound // gone, and created anew meanwhile
	case errors.Is(err, core.ErrCorrupt):
		if failed := s.quarantine(ctx, id, err); failed != nil {
			return failed
		}
	}
	return err
}

// quarantine moves the file of a record aside, where it waits for somebody to
// look into it. The record's lock is held.
func (s *Store) quarantine(ctx context.Context, id core.ID, why error) error {
	name := recordName(id)
	if err := s.disk.move(s.disk.records, name, name+corrupt, s.clock()); err != nil {
		return err
	}
	s.log.LogAttrs(ctx, slog.LevelError, "filestore: a session cannot be read; its file was moved aside",
		slog.String("session", id.String()),
		slog.String("file", "records/"+name+corrupt),
		slog.String("error", why.Error()))
	return nil
}
