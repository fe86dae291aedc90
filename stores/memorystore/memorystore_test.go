package memorystore

import (
	"errors"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

func TestVerbs(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := New(Config{Clock: func() time.Time { return now }})
	ctx := t.Context()
	rec := core.Record{ID: core.ID{1}, Version: 1, User: "ann", LastAccess: now, ExpiresAt: now.Add(time.Hour)}
	if err := s.Create(ctx, rec); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, rec); !errors.Is(err, core.ErrExists) {
		t.Fatalf("second Create: %v", err)
	}
	rec.Version = 3
	if err := s.Update(ctx, rec); !errors.Is(err, core.ErrConflict) {
		t.Fatalf("Update from version 2: %v", err)
	}
	rec.Version = 2
	if err := s.Update(ctx, rec); err != nil {
		t.Fatal(err)
	}
	if recs, err := s.ListUser(ctx, "ann"); err != nil || len(recs) != 1 || recs[0].Version != 2 {
		t.Fatalf("ListUser: %v, %v", recs, err)
	}
	now = now.Add(time.Hour)
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrExpired) {
		t.Fatalf("Load of an expired record: %v", err)
	}
	if n, err := s.Sweep(ctx, time.Time{}, now.Add(1)); n != 1 || err != nil {
		t.Fatalf("Sweep: %d, %v", n, err)
	}
	if n, _ := s.Count(ctx); n != 0 {
		t.Fatalf("Count after Sweep: %d", n)
	}
}
