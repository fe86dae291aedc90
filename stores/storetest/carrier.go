package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// RunCarrier is [Run] for stores whose records travel with the client: it
// checks the contract of [core.Carrier], and under a manager those promises
// that such a store can hold. What needs revocation is only asked of a carrier
// that does not answer [core.ErrNotRevocable].
func RunCarrier(t *testing.T, f Factory) {
	run(t, f, carrierGroups, func(t testing.TB, store core.Store) {
		if !has[core.Carrier](store) {
			t.Fatalf("%T is no core.Carrier: the test calls storetest.Run", store)
		}
		t.Logf("%T can revoke: %t", store, revokes(store))
	})
}

// carrierGroups is the specification of stores whose records travel.
var carrierGroups = []group{
	{"carrying", nil, carrying},
	{"cookies", nil, cookies},
	{"revocation", revokes, revocation},
	{"endings", revokes, endings},
	{"no-revocation", func(s core.Store) bool { return !revokes(s) }, noRevocation},
}

// revokes reports whether a carrier keeps account of what ended.
func revokes(s core.Store) bool {
	c, _ := power[core.Carrier](s)
	now := time.Now()
	rec := core.Record{ID: newID(), Version: 1, Generation: 1, CreatedAt: now, LastAccess: now, ExpiresAt: now.Add(life), Horizon: now.Add(life)}
	return !errors.Is(c.End(context.Background(), rec, 1), core.ErrNotRevocable)
}

// carriage returns the record of a session as the manager packs it: with every
// field that travels, and limits that agree.
func (t *trial) carriage() core.Record {
	r := t.fullRecord()
	r.Proof, r.Previous, r.PreviousUntil = [32]byte{}, [32]byte{}, time.Time{}
	r.Generation, r.Requests = 1, 12345
	r.IdleTimeout = 3*time.Hour + 7*time.Millisecond
	r.ExpiresAt = r.LastAccess.Add(r.IdleTimeout)
	r.Horizon = r.Deadline.Add(24 * time.Hour)
	return r
}

func (t *trial) pack(rec core.Record) []byte {
	t.Helper()
	data, err := must[core.Carrier](t).Pack(rec)
	if err != nil {
		t.Fatalf("Pack: %v", err)
	}
	return data
}

// wantCarried checks that a record is what comes out when it was packed.
func (t *trial) wantCarried(when string, rec core.Record) {
	t.Helper()
	got, err := must[core.Carrier](t).Unpack(t.ctx, t.pack(rec))
	if err != nil {
		t.Fatalf("%s: Unpack: %v", when, err)
	}
	if d := diff(got, rec); d != "" {
		t.Errorf("%s: the record differs: %s", when, d)
	}
}

// wantEnded checks that a generation is refused.
func (t *trial) wantEnded(when string, rec core.Record, generation uint64) {
	t.Helper()
	c := must[core.Carrier](t)
	rec.Generation = generation
	got, err := c.Unpack(t.ctx, t.pack(rec))
	t.want(fmt.Sprintf("%s: Unpack of generation %d", when, generation), err, core.ErrNotFound)
	if d := diff(got, rec); d != "" && errors.Is(err, core.ErrNotFound) {
		t.Errorf("%s: beside ErrNotFound Unpack returned another record: %s", when, d)
	}
	rec.Version++
	t.want(fmt.Sprintf("%s: Update of generation %d", when, generation), c.Update(t.ctx, rec), core.ErrNotFound)
}

// wantAlive checks that a generation is accepted.
func (t *trial) wantAlive(when string, rec core.Record, generation uint64) {
	t.Helper()
	rec.Generation = generation
	t.wantCarried(fmt.Sprintf("%s: generation %d", when, generation), rec)
	rec.Version++
	t.want(fmt.Sprintf("%s: Update of generation %d", when, generation), t.store.Update(t.ctx, rec), nil)
}

// carrying are the cases about the journey, and about verbs that do nothing.
var carrying = []testcase{
	{"round-trip", "Unpack returns the record that Pack was given.", func(t *trial) {
		full := t.carriage()
		t.wantCarried("every field", full)
		plain := core.Record{
			ID: newID(), Version: 1, Generation: 1, Values: []byte("v"),
			CreatedAt: full.CreatedAt, LastAccess: full.LastAccess, ExpiresAt: full.ExpiresAt,
			IdleTimeout: full.IdleTimeout, Deadline: full.Deadline, Horizon: full.Deadline,
		}
		t.wantCarried("an anonymous session", plain)
		for _, size := range []int{0, 1, 100, 2000, 64 << 10} {
			rec := t.carriage()
			rec.Values = make([]byte, size)
			rand.Read(rec.Values)
			t.wantCarried(fmt.Sprintf("%d bytes of values", size), rec)
		}
		for _, user := range oddUsers {
			rec := t.carriage()
			rec.User = user
			t.wantCarried(fmt.Sprintf("user %q", user), rec)
		}
		for _, id := range oddIDs {
			rec := t.carriage()
			rec.ID = id
			t.wantCarried(fmt.Sprintf("ID %x", id[:]), rec)
		}
		for _, n := range []uint64{1, 2, 127, 128, 255, 256, 1 << 32, 1 << 62} {
			rec := t.carriage()
			rec.Version, rec.Generation, rec.Requests = n, n+1, n+2
			t.wantCarried(fmt.Sprintf("numbers around %d", n), rec)
		}
	}},
	{"golden", "What one version of the library packed, Unpack of the next returns.", func(t *trial) {
		for _, g := range goldens {
			if g.record.Proof == [32]byte{} && g.record.Version < math.MaxInt64 {
				t.wantCarried("record "+g.name, usedAt(g.record, t.clock.now()))
			}
		}
	}},
	{"not-shared", "A record is never changed by a store, its Values included, and what was packed stays as it is.", func(t *trial) {
		c := must[core.Carrier](t)
		room := bytes.Repeat([]byte("x"), 200)
		rec := t.carriage()
		rec.Values = room[:100]
		first := t.pack(rec)
		kept := bytes.Clone(first)
		got, err := c.Unpack(t.ctx, first)
		if err != nil {
			t.Fatalf("Unpack: %v", err)
		}
		for i := range 10 {
			other := t.carriage()
			other.Values = bytes.Repeat([]byte{byte(i)}, 100)
			t.wantCarried("another record", other)
		}
		if !bytes.Equal(room, bytes.Repeat([]byte("x"), 200)) {
			t.Error("Pack wrote into the record's Values")
		}
		if !bytes.Equal(first, kept) {
			t.Error("what Pack returned was changed afterwards, or by Unpack")
		}
		if d := diff(got, rec); d != "" {
			t.Errorf("what Unpack returned was changed afterwards: %s", d)
		}
	}},
	{"damage", "Unpack answers ErrCorrupt for bytes that are no record, and survives anything.", func(t *trial) {
		c := must[core.Carrier](t)
		// The seal sees to it that no damage gets here: a damaged record may
		// be another record, but an error must be one of the answers.
		try := func(what string, data []byte, sure bool) {
			t.Helper()
			_, err := c.Unpack(t.ctx, bytes.Clone(data))
			switch {
			case errors.Is(err, core.ErrCorrupt):
			case sure:
				t.Errorf("Unpack of %s: %s, want ErrCorrupt", what, outcome(err))
			case err != nil && !errors.Is(err, core.ErrExpired) && !errors.Is(err, core.ErrNotFound):
				t.Errorf("Unpack of %s: %s, want ErrCorrupt or an answer", what, outcome(err))
			}
		}
		rec := t.carriage()
		data := t.pack(rec)
		try("nothing", nil, true)
		try("an empty slice", []byte{}, true)
		for i := range data {
			for _, mask := range []byte{0x01, 0x80, 0xff} {
				data[i] ^= mask
				try(fmt.Sprintf("a record with byte %d changed", i), data, false)
				data[i] ^= mask
			}
			try(fmt.Sprintf("the first %d bytes of a record", i), data[:i], i < 16)
		}
		try("a record and more", append(bytes.Clone(data), "more"...), false)
		for range 200 {
			junk := make([]byte, 100)
			rand.Read(junk)
			try("junk", junk, false)
		}
	}},
	{"verbs", "Nothing is kept: Load always answers ErrNotFound, Create and Touch do nothing.", func(t *trial) {
		rec := t.carriage()
		t.wantAbsent("at first", rec.ID)
		t.want("Touch of what never was", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), nil)
		t.want("Create", t.store.Create(t.ctx, rec), nil)
		t.wantAbsent("after Create", rec.ID)
		t.want("Create again", t.store.Create(t.ctx, rec), nil)
		rec.Version++
		t.want("Update", t.store.Update(t.ctx, rec), nil)
		t.want("Update of the same version", t.store.Update(t.ctx, rec), nil)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), nil)
		t.wantAbsent("after Touch", rec.ID)
		t.wantCarried("afterwards", rec)
	}},
	{"cancelled", "When the context has ended, a verb succeeds or returns an error that wraps the context's.", func(t *trial) {
		c := must[core.Carrier](t)
		rec := t.carriage()
		data := t.pack(rec)
		for _, end := range endedContexts(t.ctx) {
			_, err := c.Unpack(end.ctx, data)
			t.wantHonest("Unpack, "+end.name, err, end.err)
			t.wantHonest("Update, "+end.name, c.Update(end.ctx, rec), end.err)
			t.wantCarried("afterwards", rec)
		}
	}},
}

// revocation are the cases for carriers that can revoke.
var revocation = []testcase{
	{"end", "End revokes the generations up to and including one; later ones live on.", func(t *trial) {
		c := must[core.Carrier](t)
		rec := t.carriage()
		t.wantAlive("at first", rec, 1)
		t.want("End of generation 1", c.End(t.ctx, rec, 1), nil)
		t.wantEnded("after End of generation 1", rec, 1)
		t.wantAlive("after End of generation 1", rec, 2)
		rec.Generation = 4
		t.want("End of generation 4", c.End(t.ctx, rec, 4), nil)
		for g := range uint64(4) {
			t.wantEnded("after End of generation 4", rec, g+1)
		}
		t.wantAlive("after End of generation 4", rec, 5)
		t.wantAlive("another session", t.carriage(), 1)
	}},
	{"end-twice", "End answers ErrNotFound for a generation that had ended before.", func(t *trial) {
		c := must[core.Carrier](t)
		rec := t.carriage()
		rec.Generation = 2
		t.want("End of generation 2", c.End(t.ctx, rec, 2), nil)
		t.want("End of generation 2, again", c.End(t.ctx, rec, 2), core.ErrNotFound)
		rec.Generation = 1
		t.want("End of generation 1, after 2", c.End(t.ctx, rec, 1), core.ErrNotFound)
		t.wantAlive("afterwards", rec, 3)
		rec.Generation = 3
		t.want("End of generation 3", c.End(t.ctx, rec, 3), nil)
		t.wantEnded("afterwards", rec, 3)
	}},
	{"end-all", "End of the highest generation there is ends the session for good.", func(t *trial) {
		c := must[core.Carrier](t)
		rec := t.carriage()
		t.want("End of all generations", c.End(t.ctx, rec, math.MaxUint64), nil)
		for _, g := range []uint64{1, 2, 1000, 1 << 40} {
			t.wantEnded("after the end of all", rec, g)
		}
		t.want("End of all generations, again", c.End(t.ctx, rec, math.MaxUint64), core.ErrNotFound)
		t.want("End of generation 1", c.End(t.ctx, rec, 1), core.ErrNotFound)
		t.wantAlive("another session", t.carriage(), 1)
	}},
	{"delete", "Delete ends all generations of an ID, and reports whether they were not all ended before.", func(t *trial) {
		c := must[core.Carrier](t)
		want := func(what string, rec core.Record, want bool) {
			t.Helper()
			existed, err := t.store.Delete(t.ctx, rec.ID)
			t.want("Delete of "+what, err, nil)
			if existed != want {
				t.Errorf("Delete of %s: existed is %t, want %t", what, existed, want)
			}
			for _, g := range []uint64{1, 2, 1000, 1 << 40} {
				t.wantEnded("after Delete of "+what, rec, g)
			}
			t.want("End after Delete of "+what, c.End(t.ctx, rec, 1), core.ErrNotFound)
		}
		rec := t.carriage()
		want("a session", rec, true)
		want("a deleted session", rec, false)
		rec = t.carriage()
		t.want("End of generation 1", c.End(t.ctx, rec, 1), nil)
		want("a session in its second generation", rec, true)
		rec = t.carriage()
		t.want("End of all generations", c.End(t.ctx, rec, math.MaxUint64), nil)
		want("an ended session", rec, false)
		t.wantAlive("another session", t.carriage(), 1)
	}},
	{"kept", "What was revoked stays revoked for as long as a copy of the cookie could live.", func(t *trial) {
		c := must[core.Carrier](t)
		long := func() core.Record {
			rec := t.carriage()
			rec.Horizon = t.clock.now().Add(300 * 24 * time.Hour)
			rec.Deadline, rec.ExpiresAt, rec.IdleTimeout = rec.Horizon, rec.Horizon, core.MaxLifetime
			return rec
		}
		ended, over, deleted := long(), long(), long()
		// The longest deadline that it ever had counts, not the present one.
		shortened := ended
		shortened.Deadline = t.clock.now().Add(time.Minute)
		shortened.ExpiresAt = shortened.Deadline
		t.want("End", c.End(t.ctx, shortened, 1), nil)
		t.want("End of all", c.End(t.ctx, over, math.MaxUint64), nil)
		t.delete(deleted.ID)
		for range 3 {
			t.clock.advance(99 * 24 * time.Hour)
			for range 20 { // new entries may sweep old ones
				t.want("End of another", c.End(t.ctx, t.carriage(), 1), nil)
			}
			t.wantEnded("End, later", ended, 1)
			t.wantEnded("End of all, later", over, 1)
			t.wantEnded("Delete, later", deleted, 1)
		}
		t.clock.set(ended.Horizon.Add(-time.Millisecond))
		t.wantEnded("End, at the last moment", ended, 1)
		t.wantEnded("End of all, at the last moment", over, 1)
		t.wantEnded("Delete, at the last moment", deleted, 1)
	}},
	{"prolonged", "The account is kept until the latest Horizon that was ever given for the ID, whatever the answer; generation 0 only prolongs it.", func(t *trial) {
		c := must[core.Carrier](t)
		short := t.clock.now().Add(10 * 24 * time.Hour)
		long := t.clock.now().Add(100 * 24 * time.Hour)
		until := func(rec core.Record, horizon time.Time) core.Record {
			rec.Deadline, rec.ExpiresAt, rec.Horizon, rec.IdleTimeout = horizon, horizon, horizon, core.MaxLifetime
			return rec
		}
		end := func(rec core.Record, generation uint64) {
			t.Helper()
			if err := c.End(t.ctx, rec, generation); err != nil && !errors.Is(err, core.ErrNotFound) {
				t.Errorf("End of generation %d: %s, want success or ErrNotFound", generation, outcome(err))
			}
		}
		next, again, before, after := t.carriage(), t.carriage(), t.carriage(), t.carriage()
		end(until(next, short), 1)
		end(until(next, long), 2)
		end(until(again, short), 1)
		end(until(again, long), 1)
		end(until(before, long), 0)
		t.wantAlive("after End of generation 0", until(before, long), 1)
		end(until(before, short), 1)
		end(until(after, short), 1)
		end(until(after, long), 0)
		for _, at := range []time.Time{short.Add(-time.Millisecond), short.Add(time.Hour), long.Add(-time.Millisecond)} {
			t.clock.set(at)
			end(until(t.carriage(), long), 1) // a new entry may sweep old ones
			t.wantEnded("ended by a generation that lives longer", until(next, long), 2)
			t.wantAlive("ended by a generation that lives longer", until(next, long), 3)
			t.wantEnded("ended twice, the second time for longer", until(again, long), 1)
			t.wantEnded("prolonged, then ended", until(before, long), 1)
			t.wantEnded("ended, then prolonged", until(after, long), 1)
		}
	}},
	{"contention", "End is atomic: of those who end the same generation at once, exactly one succeeds.", func(t *trial) {
		c := must[core.Carrier](t)
		for i := range 10 {
			rec := t.carriage()
			generation := uint64(1)
			if i%2 == 1 {
				generation = math.MaxUint64
			}
			var n tally
			together(20, func(int) { n.add(c.End(t.ctx, rec, generation)) })
			n.want(t, "20 at once", 1, 20, core.ErrNotFound)
			t.wantEnded("afterwards", rec, 1)
		}
	}},
	{"cancelled", "When the context has ended, End and Delete succeed or return an error that wraps the context's.", func(t *trial) {
		c := must[core.Carrier](t)
		for _, end := range endedContexts(t.ctx) {
			rec := t.carriage()
			err := c.End(end.ctx, rec, 1)
			t.wantHonest("End, "+end.name, err, end.err)
			if err == nil {
				t.wantEnded("after a successful End", rec, 1)
			}
			t.wantAlive("a later generation", rec, 2)
			_, err = t.store.Delete(end.ctx, rec.ID)
			t.wantHonest("Delete, "+end.name, err, end.err)
			if err == nil {
				t.wantEnded("after a successful Delete", rec, 2)
			}
		}
	}},
}

// noRevocation are the cases for carriers that keep no account.
var noRevocation = []testcase{
	{"not-revocable", "A carrier that keeps no account says so: End and Delete answer ErrNotRevocable, and every record stays good.", func(t *trial) {
		c := must[core.Carrier](t)
		rec := t.carriage()
		for range 2 {
			t.want("End", c.End(t.ctx, rec, 1), core.ErrNotRevocable)
			t.want("End of all", c.End(t.ctx, rec, math.MaxUint64), core.ErrNotRevocable)
			_, err := t.store.Delete(t.ctx, rec.ID)
			t.want("Delete", err, core.ErrNotRevocable)
			t.wantAlive("afterwards", rec, 1)
		}
	}},
	{"logout", "Without an account, logout clears the cookie, says ErrNotRevocable, and is no error to the client.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		copied := b.jar()
		var err error
		b.do(func(s *core.Session) { err = s.Destroy() }).ok("logout")
		t.want("Destroy", err, core.ErrNotRevocable)
		if b.jar() != "" {
			t.Error("the logout left the cookie in the browser")
		}
		t.with(m, copied).sees("a copy of the cookie, as the library warns", view{user: "alice"})
	}},
}

// cookies are the cases about sessions in cookies under a manager.
var cookies = []testcase{
	{"session", "A session travels whole: values, user and limits.", func(t *trial) {
		one, two := t.manager(t.store), t.manager(t.store)
		b := t.browser(one)
		b.do(func(s *core.Session) {
			left.Set(s, "l")
			hits.Update(s, func(n int) int { return n + 41 })
		}).ok("the first values")
		id := b.sees("with values", view{left: "l", hits: 41})
		b.m = two
		b.do(func(s *core.Session) {
			hits.Update(s, func(n int) int { return n + 1 })
			s.Login("alice")
			s.Persist(100 * time.Hour)
		}).ok("login")
		b.m = one
		if got := b.sees("logged in", view{left: "l", hits: 42, user: "alice"}); got != id {
			t.Errorf("the session's ID is %v, want %v", got, id)
		}
		t.clock.advance(99 * time.Hour)
		b.sees("within the limits that it asked for", view{left: "l", hits: 42, user: "alice"})
	}},
	{"expiry", "Idle and absolute limits are data in the record: a cookie beyond them opens nothing.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(login("alice")).ok("login")
		first := b.jar()
		for range 30 {
			t.clock.advance(touchInterval + time.Minute)
			b.sees("in use", view{user: "alice"})
		}
		t.wantDead("a copy that was not used", m, first)
		last := b.jar()
		t.clock.advance(31 * time.Minute)
		t.wantDead("the cookie after the idle limit", m, last)
	}},
	{"too-large", "What does not fit into a cookie is refused, and what was there before stays.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
		text := make([]byte, 5000)
		rand.Read(text)
		b.do(func(s *core.Session) { s.Set("big", text) }).refused("a value of 5000 bytes", http.StatusInternalServerError)
		b.sees("afterwards", view{left: "l"})
	}},
	{"emptied", "A session that loses its last value clears its cookie.", func(t *trial) {
		m := t.manager(t.store)
		b := t.browser(m)
		b.do(func(s *core.Session) { left.Set(s, "l") }).ok("a value")
		b.do(func(s *core.Session) { left.Delete(s) }).ok("a deletion")
		if b.jar() != "" {
			t.Error("the browser still holds the cookie")
		}
		b.sees("afterwards", view{})
	}},
}
