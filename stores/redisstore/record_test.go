package redisstore

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

func newClock() *testclock.Clock { return testclock.New(time.Now().UTC().Truncate(time.Millisecond)) }

// session is a record as the manager makes them, of a user or of nobody.
func session(now time.Time, user string) core.Record {
	rec := core.Record{
		Version: 1, Generation: 1, User: user, Proof: [32]byte{1}, CreatedAt: now, LastAccess: now,
		ExpiresAt: now.Add(30 * time.Minute), IdleTimeout: 30 * time.Minute, Deadline: now.Add(24 * time.Hour),
		Values: []byte("some values"),
	}
	rec.Horizon = rec.Deadline
	if user != "" {
		rec.LoginAt = now
	}
	rand.Read(rec.ID[:])
	return rec
}

func TestNewRefuses(t *testing.T) {
	client := &hooked{}
	for name, c := range map[string]struct {
		client rueidis.Client
		prefix string
		word   string
	}{
		"no client":         {nil, "shop", "client"},
		"a typed nil":       {(*hooked)(nil), "shop", "client"},
		"no prefix":         {client, "", "Prefix"},
		"a long prefix":     {client, strings.Repeat("x", 65), "65 bytes"},
		"a prefix in {...}": {client, "{shop}", "braces"},
	} {
		_, err := New(c.client, Config{Prefix: c.prefix})
		if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v, want ErrConfig about %q", name, err, c.word)
		}
	}
	if _, err := New(client, Config{Prefix: strings.Repeat("x", 64)}); err != nil {
		t.Error(err)
	}
}

// Fails if keys are not made of the prefix alone, or if List trusts its pattern.
func TestPrefixesKeepApart(t *testing.T) {
	client, ctx := sharedClient(t), t.Context()
	base := newStore(t, client, nil).prefix
	var stores []*Store
	for _, suffix := range []string{"", ":s", "x", "*", "[x]", "?", `\`, ":"} {
		s, err := New(client, Config{Prefix: base + suffix})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeAll(t, s) })
		stores = append(stores, s)
	}
	rec := session(time.Now(), "ann")
	for i, s := range stores {
		rec.Values = []byte{byte(i)}
		if err := s.Create(ctx, rec); err != nil {
			t.Fatalf("Create with prefix %q: %v", s.prefix, err)
		}
	}
	for i, s := range stores {
		got, err := s.Load(ctx, rec.ID)
		if err != nil || len(got.Values) != 1 || got.Values[0] != byte(i) {
			t.Errorf("Load with prefix %q: values %v, %v", s.prefix, got.Values, err)
		}
		if recs, err := s.ListUser(ctx, "ann"); err != nil || len(recs) != 1 || recs[0].Values[0] != byte(i) {
			t.Errorf("ListUser with prefix %q: %v, %v", s.prefix, recs, err)
		}
		n := 0
		for got, err := range s.List(ctx) {
			if n++; err != nil || got.Values[0] != byte(i) {
				t.Errorf("List with prefix %q: %v of another store, %v", s.prefix, got, err)
			}
		}
		if n != 1 {
			t.Errorf("List with prefix %q: %d records, want 1", s.prefix, n)
		}
		if existed, err := s.Delete(ctx, rec.ID); !existed || err != nil {
			t.Errorf("Delete with prefix %q: %t, %v", s.prefix, existed, err)
		}
	}
}

// twice is a client whose nodes show every key twice, as SCAN may.
type twice struct{ rueidis.Client }

func (c twice) Nodes() map[string]rueidis.Client {
	out := map[string]rueidis.Client{}
	for name, node := range c.Client.Nodes() {
		out[name], out[name+" again"] = node, node
	}
	return out
}

// Fails if List yields what SCAN shows again.
func TestListYieldsOnce(t *testing.T) {
	plain := newStore(t, sharedClient(t), nil)
	for range 10 {
		if err := plain.Create(t.Context(), session(time.Now(), "")); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[core.ID]int{}
	for rec, err := range beside(t, plain, twice{plain.client}).List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen[rec.ID]++
	}
	if len(seen) != 10 {
		t.Errorf("List yielded %d sessions, want 10", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("List yielded %v %d times", id, n)
		}
	}
}

// Feature B16. Fails if the server is told another time, or none.
func TestServerRemovesRecords(t *testing.T) {
	client, ctx := sharedClient(t), t.Context()
	s := newStore(t, client, nil)
	left := func(key string) time.Duration {
		ms, err := client.Do(ctx, client.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	const tolerance = 5 * time.Second // for a slow machine
	near := func(when, key string, want time.Duration) {
		t.Helper()
		if got := left(key); got > want || got < want-tolerance {
			t.Errorf("%s: the server removes the key in %v, want %v", when, got, want)
		}
	}
	now := time.Now()
	rec := session(now, "ann")
	if err := s.Create(ctx, rec); err != nil {
		t.Fatal(err)
	}
	near("Create", s.recordKey(rec.ID), 31*time.Minute)
	near("Create", s.userKey(tagOf("ann")), 24*time.Hour+time.Minute)
	rec.Version, rec.ExpiresAt = 2, now.Add(time.Minute)
	if err := s.Update(ctx, rec); err != nil {
		t.Fatal(err)
	}
	near("Update that shortens", s.recordKey(rec.ID), 2*time.Minute)
	if err := s.Touch(ctx, rec.ID, now, now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	near("Touch", s.recordKey(rec.ID), 2*time.Hour+time.Minute)
	if err := s.Touch(ctx, rec.ID, now, now.Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	near("Touch beyond the deadline", s.userKey(tagOf("ann")), 48*time.Hour+time.Minute)

	rec = session(now, "")
	rec.ExpiresAt = now.Add(-2 * slack)
	if err := s.Create(ctx, rec); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load of a record that expired two minutes ago by the server's clock: %v, want ErrNotFound", err)
	}
}

// Fails without the checksum, or if an answer of another type passes for an
// outage.
func TestCorruptRecords(t *testing.T) {
	client, ctx := sharedClient(t), t.Context()
	s := newStore(t, client, nil)
	rec := session(time.Now(), "ann")
	if err := s.Create(ctx, rec); err != nil {
		t.Fatal(err)
	}
	key := s.recordKey(rec.ID)
	good, err := client.Do(ctx, client.B().Get().Key(key).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		t.Helper()
		if err := client.Do(ctx, client.B().Set().Key(key).Value(value).Keepttl().Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range len(good) {
		put(good[:n])
		if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrCorrupt) {
			t.Fatalf("Load of the first %d of %d bytes: %v, want ErrCorrupt", n, len(good), err)
		}
	}
	for i := headLen + markLen; i < len(good); i++ {
		bad := []byte(good)
		bad[i] ^= 0x10
		put(string(bad))
		if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrCorrupt) {
			t.Fatalf("Load with byte %d changed: %v, want ErrCorrupt", i, err)
		}
	}
	other := session(time.Now(), "ann")
	put(seal(other, mark{stamp: 1, user: tagOf("ann")}))
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("Load of another session's record: %v, want ErrCorrupt", err)
	}

	put("\x03 of a later version")
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("Load of an unknown form: %v, want ErrCorrupt", err)
	}
	if err := s.Create(ctx, rec); !errors.Is(err, core.ErrExists) {
		t.Errorf("Create over what it cannot read: %v, want ErrExists", err)
	}
	next := rec
	next.Version = 2
	if err := s.Update(ctx, next); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Update of what it cannot read: %v, want ErrNotFound", err)
	}
	if err := s.Touch(ctx, rec.ID, rec.LastAccess, rec.ExpiresAt); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Touch of what it cannot read: %v, want ErrNotFound", err)
	}
	if recs, err := s.ListUser(ctx, "ann"); len(recs) != 0 || err != nil {
		t.Errorf("ListUser: %v, %v", recs, err)
	}
	if existed, err := s.Delete(ctx, rec.ID); existed || err != nil {
		t.Errorf("Delete of what it cannot read: %t, %v", existed, err)
	}
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load after Delete: %v, want ErrNotFound", err)
	}

	if err := client.Do(ctx, client.B().Rpush().Key(key).Element("x").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(ctx, rec.ID); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("Load of a key that holds a list: %v, want ErrCorrupt", err)
	}
}

// The package's page tells these figures, by the server's own account.
func TestMemory(t *testing.T) {
	client, ctx := sharedClient(t), t.Context()
	s := newStore(t, client, nil)
	s.prefix = s.prefix[:len("test-")+6]
	usage := func(key string) int64 {
		n, err := client.Do(ctx, client.B().MemoryUsage().Key(key).Samples(0).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	create := func(user string) core.Record {
		rec := session(time.Now(), user)
		rec.Values = make([]byte, 200)
		if err := s.Create(ctx, rec); err != nil {
			t.Fatal(err)
		}
		return rec
	}
	const many = 500
	var rec core.Record
	for range many {
		rec = create("many")
	}
	for _, c := range []struct {
		what        string
		bytes, most int64
	}{
		{"a session of nobody", usage(s.recordKey(create("").ID)), 420},
		{"a session of a user", usage(s.recordKey(rec.ID)), 480},
		{"a list of one", usage(s.userKey(tagOf(create("one").User))), 150},
		{"an entry of many", usage(s.userKey(tagOf("many"))) / many, 150},
	} {
		t.Logf("%s: %d bytes", c.what, c.bytes)
		if c.bytes > c.most {
			t.Errorf("%s takes %d bytes, want at most %d", c.what, c.bytes, c.most)
		}
	}
}
