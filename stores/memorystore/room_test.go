package memorystore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Security H2. Fails if evict is removed (creates are refused), if logged-in
// sessions enter the anonymous heap (ann is evicted), or without the budget.
func TestFloodOfAnonymousSessions(t *testing.T) {
	f := newFixture(t, Config{MaxSessions: 1000})
	f.create(0, "ann")
	for i := 1; i <= 5000; i++ {
		f.advance(time.Millisecond)
		f.create(i, "")
		if f.count() > 1000 {
			t.Fatalf("%d records after %d creates", f.count(), i)
		}
	}
	f.want(0, nil)
	// Those that are left are the latest.
	f.want(5000-998, nil)
	f.want(5000-999, core.ErrNotFound)

	// One more user can log in, from a fresh session and from an old one.
	f.create(6000, "bob")
	login, err := f.Load(f.ctx, makeID(4500))
	if err != nil {
		t.Fatal(err)
	}
	login.Version, login.User = 2, "cy"
	if err := f.Update(f.ctx, login); err != nil {
		t.Errorf("login in a full store: %v", err)
	}
	if got := f.Stats(); got.Sessions != 1000 || got.Evicted != 5002-1000 {
		t.Errorf("%+v", got)
	}
}

// Fails if evict takes any anonymous session rather than the oldest, or if it
// trusts bounds that a Touch or Update has left behind.
func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	const n = 500
	f := newFixture(t, Config{MaxSessions: n})
	for i := range n {
		f.create(i, "")
	}
	order := rand.New(rand.NewPCG(1, 2)).Perm(n)
	for _, i := range order {
		f.advance(time.Millisecond)
		if i%2 == 0 {
			f.touch(i)
			continue
		}
		rec, _ := f.Load(f.ctx, makeID(i))
		rec.Version++
		rec.LastAccess = instant(f.clock.Load())
		if err := f.Update(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	f.advance(time.Millisecond)
	for k, i := range order {
		f.want(i, nil)
		f.create(n+k, "")
		f.want(i, core.ErrNotFound)
	}
}

// Fails if evict runs before removeExpired.
func TestExpiredGoFirst(t *testing.T) {
	f := newFixture(t, Config{MaxSessions: 3})
	f.create(1, "") // the least recently used
	f.touch(1)
	short := f.rec(2, "ann")
	short.ExpiresAt = short.LastAccess.Add(time.Minute)
	if err := f.Create(f.ctx, short); err != nil {
		t.Fatal(err)
	}
	f.create(3, "")
	f.advance(time.Minute)
	f.create(4, "")
	f.want(1, nil)
	f.want(2, core.ErrNotFound)
	if got := f.Stats(); got.Expired != 1 || got.Evicted != 0 {
		t.Errorf("%+v", got)
	}
}

// Fails if a user's session may be evicted, or the refusal carries no numbers.
func TestFullOfUsers(t *testing.T) {
	f := newFixture(t, Config{MaxSessions: 10})
	for i := range 10 {
		f.create(i, fmt.Sprint("user", i))
	}
	for _, user := range []string{"", "ann"} {
		err := f.Create(f.ctx, f.rec(11, user))
		var full *FullError
		if !errors.As(err, &full) || !errors.Is(err, core.ErrFull) {
			t.Fatalf("Create for %q: %v", user, err)
		}
		if full.Sessions != 10 || full.MaxSessions != 10 || full.Bytes != f.Stats().Bytes || full.MaxBytes != 1<<30 || full.Size != 384 {
			t.Errorf("%+v", full)
		}
	}
	for i := range 10 {
		f.want(i, nil)
	}
	f.want(11, core.ErrNotFound)
}

func bytesFixture(t *testing.T) *fixture {
	f := newFixture(t, Config{MaxBytes: 10_000})
	f.create(1, "ann")
	f.advance(time.Millisecond)
	for i := 2; i <= 4; i++ {
		rec := f.rec(i, "")
		rec.Values = make([]byte, 1000)
		if err := f.Create(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
		f.advance(time.Millisecond)
	}
	return f
}

func (f *fixture) grow(i, size int, user string) error {
	rec, err := f.Load(f.ctx, makeID(i))
	if err != nil {
		return err
	}
	rec.Version++
	rec.User = user
	rec.Values = make([]byte, size)
	return f.Update(f.ctx, rec)
}

// Fails if the budget does not count bytes, or Update does not ask it.
func TestBoundedByBytes(t *testing.T) {
	f := bytesFixture(t)
	if err := f.grow(1, 7000, "ann"); err != nil {
		t.Fatal(err)
	}
	f.want(2, core.ErrNotFound)
	f.want(3, core.ErrNotFound)
	f.want(4, nil)
	if err := f.grow(4, 1500, ""); err != nil {
		t.Errorf("the only anonymous session may grow while there is room: %v", err)
	}
	if b := f.Stats().Bytes; b > 10_000 || b < 8000 {
		t.Errorf("%d bytes", b)
	}
	if err := f.grow(1, 10, "ann"); err != nil || f.Stats().Bytes > 4000 {
		t.Errorf("shrink: %v, %d bytes left", err, f.Stats().Bytes)
	}
}

// Fails if evict does not spare the session that needs the room.
func TestGrowingSessionIsSpared(t *testing.T) {
	f := bytesFixture(t)
	for _, user := range []string{"", "bob"} {
		if err := f.grow(2, 7000, user); err != nil {
			t.Fatalf("the oldest anonymous session grows, user %q: %v", user, err)
		}
	}
	f.want(1, nil)
	f.want(3, core.ErrNotFound)
	f.want(4, nil)

	// Alone among users, it is refused and stays as it was.
	f = newFixture(t, Config{MaxBytes: 2000})
	f.create(1, "ann")
	f.create(2, "")
	before, _ := f.Load(f.ctx, makeID(2))
	if err := f.grow(2, 1500, ""); !errors.Is(err, core.ErrFull) {
		t.Errorf("grew beyond the limit: %v", err)
	}
	if after, err := f.Load(f.ctx, makeID(2)); err != nil || after.Version != before.Version {
		t.Errorf("the refused update left %v, %v", after, err)
	}
}

// The spared session and the one to evict may share a shard.
func TestSparedInSameShard(t *testing.T) {
	f := newFixture(t, Config{MaxBytes: 5 * 448})
	id := func(n byte) core.ID { return core.ID{7, n} }
	other := core.ID{8}
	for i, id := range []core.ID{id(1), id(2), other, id(3), id(4)} {
		rec := f.rec(i, "")
		rec.ID, rec.Values = id, make([]byte, 100)
		if err := f.Create(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
		f.advance(time.Millisecond)
	}
	for step, want := range []core.ID{id(2), other, id(3), id(4)} {
		rec, err := f.Load(f.ctx, id(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(f.ctx, want); err != nil {
			t.Errorf("step %d: the next to go is %v: %v", step, want, err)
		}
		rec.Version++
		rec.Values = make([]byte, 100+448*(step+1))
		if err := f.Update(f.ctx, rec); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if _, err := f.Load(f.ctx, want); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("step %d: %v is still there: %v", step, want, err)
		}
	}
	if f.count() != 1 {
		t.Errorf("%d left", f.count())
	}
}

// Fails without budget.reaches: hopeless requests would evict everybody.
func TestHopelessEvictsNobody(t *testing.T) {
	f := bytesFixture(t)
	var full *FullError
	if err := f.grow(1, 20_000, "ann"); !errors.As(err, &full) || full.Size < 20_000 {
		t.Errorf("an update beyond MaxBytes: %v", err)
	}
	big := f.rec(9, "")
	big.Values = make([]byte, 9_500)
	if err := f.Create(f.ctx, big); !errors.Is(err, core.ErrFull) {
		t.Errorf("a create that does not fit beside the users: %v", err)
	}
	for i := 1; i <= 4; i++ {
		f.want(i, nil)
	}
}

// A logout turns a user's session into an anonymous one, which may go.
func TestLoggedOutMayGo(t *testing.T) {
	f := newFixture(t, Config{MaxSessions: 1})
	f.create(1, "ann")
	if err := f.Create(f.ctx, f.rec(2, "")); !errors.Is(err, core.ErrFull) {
		t.Fatal(err)
	}
	if err := f.grow(1, 10, ""); err != nil {
		t.Fatal(err)
	}
	f.create(2, "")
	f.want(1, core.ErrNotFound)
}

// Fails if room is looked for and taken in two steps. checkInvariants, at the
// end, compares the budget with the records.
func TestLimitsHoldUnderConcurrency(t *testing.T) {
	f := newFixture(t, Config{MaxSessions: 100, MaxBytes: 60_000})
	stop := make(chan struct{})
	var watch, work sync.WaitGroup
	watch.Go(func() {
		for {
			if s := f.Stats(); s.Sessions > 100 || s.Bytes > 60_000 {
				t.Errorf("%+v", s)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range 8 {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 2000 {
				f.clock.Add(1)
				i := r.IntN(300)
				user := ""
				if i < 50 {
					user = fmt.Sprint("user", i%7)
				}
				switch r.IntN(4) {
				case 0:
					f.Delete(f.ctx, makeID(i))
				case 1:
					f.grow(i, r.IntN(1000), user)
				default:
					f.Create(f.ctx, f.rec(i, user))
				}
			}
		})
	}
	work.Wait()
	close(stop)
	watch.Wait()
}

func TestFullErrorText(t *testing.T) {
	for err, want := range map[*FullError]string{
		{Sessions: 10, MaxSessions: 11, Bytes: 12, MaxBytes: 14, Size: 13}: "10 of at most 11 sessions, 12 of at most 14 bytes",
		{Size: 14, MaxBytes: 13}: "a session of 14 bytes is more than MaxBytes, 13",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say: %s", err, want)
		}
	}
}
