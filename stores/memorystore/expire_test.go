package memorystore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
)

// What the store removes by itself it tells as well: as if it was swept, since
// nobody asked for that session. Fails if expireBatch does not tell.
func TestTellsOfWhatItRemovesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{SweepInterval: time.Minute, MaxSessions: 2})
		defer s.Close()
		told := map[core.ID]int{}
		s.NotifyExpired(func(_ context.Context, rec core.Record, swept bool) {
			if !swept || rec.User != "ann" {
				t.Errorf("told of a record of %q, swept %v", rec.User, swept)
			}
			told[rec.ID]++
		})
		create := func(i int, life time.Duration) core.ID {
			now := time.Now()
			rec := core.Record{ID: makeID(i), Version: 1, User: "ann", LastAccess: now, ExpiresAt: now.Add(life)}
			if err := s.Create(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			return rec.ID
		}
		swept, live := create(1, time.Second), create(2, time.Hour)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if told[swept] != 1 || told[live] != 0 {
			t.Errorf("after the sweep: told %d times of the expired, %d of the live record", told[swept], told[live])
		}
		room := create(3, time.Second)
		time.Sleep(2 * time.Second)
		create(4, time.Hour)
		if told[room] != 1 || told[live] != 0 {
			t.Errorf("after room was made: told %d times of the expired, %d of the live record", told[room], told[live])
		}
	})
}
