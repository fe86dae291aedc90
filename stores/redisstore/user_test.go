package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
)

// entries is how many entries the list of a user has, stale ones included.
func entries(t *testing.T, s *Store, user string) int64 {
	t.Helper()
	n, err := s.client.Do(t.Context(), s.client.B().Zcard().Key(s.userKey(tagOf(user))).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantListed(t *testing.T, when string, s *Store, user string, want ...core.ID) {
	t.Helper()
	recs, err := s.ListUser(t.Context(), user)
	if err != nil {
		t.Fatalf("%s: ListUser: %v", when, err)
	}
	if len(recs) != len(want) {
		t.Fatalf("%s: ListUser: %d records, want %d", when, len(recs), len(want))
	}
	for _, id := range want {
		found := false
		for _, rec := range recs {
			found = found || rec.ID == id
		}
		if !found {
			t.Errorf("%s: ListUser misses %v", when, id)
		}
	}
}

// between makes a store that calls f before the second command of the next
// verb, which is that for the record.
func between(t *testing.T, clock *testclock.Clock, f func(plain *Store) (send bool)) *Store {
	plain := newStore(t, sharedClient(t), clock.Now)
	n := 0
	return beside(t, plain, &hooked{Client: plain.client, before: func([]string) bool {
		if n++; n == 2 {
			return f(plain)
		}
		return true
	}})
}

// Fails if the record is written before its entry.
func TestEntryComesFirst(t *testing.T) {
	clock := newClock()
	rec := session(clock.Now(), "ann")
	s := between(t, clock, func(plain *Store) bool {
		if n := entries(t, plain, "ann"); n != 1 {
			t.Errorf("before the record is written, the list has %d entries, want 1", n)
		}
		return false // and it never is
	})
	err := s.Create(t.Context(), rec)
	if err == nil || errors.Is(err, core.ErrExists) {
		t.Errorf("Create of which the second half failed: %v, want a failure", err)
	}
	wantListed(t, "after half a Create", s, "ann")
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	wantListed(t, "after the whole", s, "ann", rec.ID)
}

// Fails if a reader drops an entry whose record may be on its way.
func TestReaderLeavesFreshEntries(t *testing.T) {
	clock := newClock()
	rec := session(clock.Now(), "ann")
	s := between(t, clock, func(plain *Store) bool {
		clock.Advance(maxWrite)
		wantListed(t, "during Create", plain, "ann")
		return true
	})
	if err := s.Create(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	wantListed(t, "after Create", s, "ann", rec.ID)
}

// Fails if a write may take longer than readers wait for it.
func TestSlowWriteFails(t *testing.T) {
	clock := newClock()
	rec := session(clock.Now(), "ann")
	s := between(t, clock, func(plain *Store) bool {
		clock.Advance(settleTime + time.Second)
		wantListed(t, "during Create", plain, "ann")
		if n := entries(t, plain, "ann"); n != 0 {
			t.Errorf("a reader left %d stale entries, want 0", n)
		}
		return true
	})
	if err := s.Create(t.Context(), rec); !errors.Is(err, errSlow) {
		t.Errorf("Create that took ten minutes: %v, want a failure", err)
	}
}

// Fails if reading does not verify, or does not tidy up.
func TestStaleEntriesAreDropped(t *testing.T) {
	clock, ctx := newClock(), t.Context()
	s := newStore(t, sharedClient(t), clock.Now)
	var recs []core.Record
	for range 5 {
		rec := session(clock.Now(), "ann")
		if err := s.Create(ctx, rec); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
	// One is gone, one expired, one went to another user, one logged in again.
	if err := s.client.Do(ctx, s.client.B().Del().Key(s.recordKey(recs[0].ID)).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	update := func(rec *core.Record, change func(*core.Record)) {
		t.Helper()
		rec.Version++
		change(rec)
		if err := s.Update(ctx, *rec); err != nil {
			t.Fatal(err)
		}
	}
	update(&recs[1], func(r *core.Record) { r.LastAccess, r.ExpiresAt = r.LastAccess.Add(1e6), clock.Now().Add(time.Second) })
	update(&recs[2], func(r *core.Record) { r.User = "bob" })
	update(&recs[3], func(r *core.Record) { r.Generation++ })
	clock.Advance(2 * time.Second)
	wantListed(t, "at once", s, "ann", recs[3].ID, recs[4].ID)
	if n := entries(t, s, "ann"); n != 6 {
		t.Errorf("before the entries are old enough, the list has %d, want 6", n)
	}
	clock.Advance(settleTime)
	wantListed(t, "later", s, "ann", recs[3].ID, recs[4].ID)
	if n := entries(t, s, "ann"); n != 2 {
		t.Errorf("after a look at old entries, the list has %d, want 2", n)
	}
	wantListed(t, "in the end", s, "ann", recs[3].ID, recs[4].ID)
	wantListed(t, "in the end", s, "bob", recs[2].ID)
	if existed, err := s.Delete(ctx, recs[4].ID); !existed || err != nil {
		t.Fatal(existed, err)
	}
	if n := entries(t, s, "ann"); n != 1 {
		t.Errorf("after Delete, the list has %d entries, want 1", n)
	}
}

// Fails if writing does not remove what is dead by its score.
func TestDeadEntriesAreDroppedByWrites(t *testing.T) {
	clock, ctx := newClock(), t.Context()
	s := newStore(t, sharedClient(t), clock.Now)
	for range 150 {
		if err := s.Create(ctx, session(clock.Now(), "ann")); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(24*time.Hour + 2*slack)
	for i, want := range []int64{51, 2, 3} {
		if err := s.Create(ctx, session(clock.Now(), "ann")); err != nil {
			t.Fatal(err)
		}
		if n := entries(t, s, "ann"); n != want {
			t.Errorf("after login %d, the list has %d entries, want %d", i+1, n, want)
		}
	}
}

// Fails if an Update or a Touch trusts an entry that ends before the session.
func TestLongerSessionsStayListed(t *testing.T) {
	ctx := t.Context()
	for name, prolong := range map[string]func(s *Store, rec core.Record, until time.Time) error{
		"Update": func(s *Store, rec core.Record, until time.Time) error {
			rec.Version++
			rec.LastAccess = s.clock() // not a login
			rec.ExpiresAt, rec.Deadline, rec.Horizon = until, until, until
			return s.Update(ctx, rec)
		},
		"Touch": func(s *Store, rec core.Record, until time.Time) error {
			return s.Touch(ctx, rec.ID, rec.LastAccess, until)
		},
	} {
		clock := newClock()
		s := newStore(t, sharedClient(t), clock.Now)
		rec := session(clock.Now(), "ann")
		if err := s.Create(ctx, rec); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Minute)
		if err := prolong(s, rec, rec.Deadline.Add(100*time.Hour)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		clock.Advance(25 * time.Hour)
		other := session(clock.Now(), "ann")
		if err := s.Create(ctx, other); err != nil { // removes dead entries
			t.Fatal(err)
		}
		wantListed(t, "prolonged by "+name, s, "ann", rec.ID, other.ID)
	}
}

// Fails if a Touch writes the entry of the user before, or gives up.
func TestTouchMeetsLogin(t *testing.T) {
	clock, ctx := newClock(), t.Context()
	plain := newStore(t, sharedClient(t), clock.Now)
	for _, user := range []string{"bob", ""} {
		rec := session(clock.Now(), "ann")
		if err := plain.Create(ctx, rec); err != nil {
			t.Fatal(err)
		}
		next := rec
		next.Version, next.User = 2, user
		n := 0
		s := beside(t, plain, &hooked{Client: plain.client, before: func([]string) bool {
			if n++; n == 3 { // the Touch was refused, the record read, and now comes the entry
				if err := plain.Update(ctx, next); err != nil {
					t.Error(err)
				}
			}
			return true
		}})
		until := rec.Deadline.Add(time.Hour)
		if err := s.Touch(ctx, rec.ID, rec.LastAccess, until); err != nil {
			t.Fatalf("Touch during a change to user %q: %v", user, err)
		}
		wantListed(t, "afterwards", plain, "ann")
		if got, err := plain.Load(ctx, rec.ID); err != nil || !got.ExpiresAt.Equal(until) || got.User != user {
			t.Errorf("the record afterwards: %v, %v", got, err)
		}
		if user != "" {
			wantListed(t, "afterwards", plain, user, rec.ID)
			clock.Advance(24*time.Hour + 2*slack)
			other := session(clock.Now(), user)
			if err := plain.Create(ctx, other); err != nil { // removes dead entries
				t.Fatal(err)
			}
			wantListed(t, "a day later", plain, user, rec.ID, other.ID)
		}
	}
}

// Fails if an entry that cannot be removed keeps a session from ending.
func TestLogoutNeedsNoList(t *testing.T) {
	clock := newClock()
	plain := newStore(t, sharedClient(t), clock.Now)
	rec := session(clock.Now(), "ann")
	if err := plain.Create(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	s := beside(t, plain, &hooked{Client: plain.client, before: func(command []string) bool { return command[0] != "ZREM" }})
	if existed, err := s.Delete(t.Context(), rec.ID); !existed || err != nil {
		t.Errorf("Delete while the list is out of reach: %t, %v", existed, err)
	}
	wantListed(t, "afterwards", plain, "ann")
}
