package storetest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// referenceCarrier is the smallest carrier that is right in everything. With
// no map of ended generations it keeps no account.
type referenceCarrier struct {
	mu    sync.Mutex
	ended map[core.ID]uint64
}

var _ core.Carrier = (*referenceCarrier)(nil)

func (c *referenceCarrier) Load(context.Context, core.ID) (core.Record, error) {
	return core.Record{}, core.ErrNotFound
}

func (c *referenceCarrier) Create(context.Context, core.Record) error { return nil }

func (c *referenceCarrier) Touch(context.Context, core.ID, time.Time, time.Time) error { return nil }

func (c *referenceCarrier) Update(ctx context.Context, rec core.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec.Generation <= c.ended[rec.ID] {
		return core.ErrNotFound
	}
	return nil
}

func (c *referenceCarrier) Delete(ctx context.Context, id core.ID) (bool, error) {
	err := c.End(ctx, core.Record{ID: id}, 1<<64-1)
	if err == core.ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

func (c *referenceCarrier) Pack(rec core.Record) ([]byte, error) { return rec.MarshalBinary() }

func (c *referenceCarrier) Unpack(ctx context.Context, data []byte) (core.Record, error) {
	var rec core.Record
	if err := rec.UnmarshalBinary(data); err != nil {
		return core.Record{}, err
	}
	return rec, c.Update(ctx, rec)
}

func (c *referenceCarrier) End(ctx context.Context, rec core.Record, generation uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended == nil:
		return core.ErrNotRevocable
	case generation <= c.ended[rec.ID]:
		return core.ErrNotFound
	}
	c.ended[rec.ID] = generation
	return nil
}

func TestReferenceCarrier(t *testing.T) {
	t.Run("revocable", func(t *testing.T) {
		RunCarrier(t, func(testing.TB, func() time.Time) core.Store {
			return &referenceCarrier{ended: map[core.ID]uint64{}}
		})
	})
	t.Run("not revocable", func(t *testing.T) {
		RunCarrier(t, func(testing.TB, func() time.Time) core.Store { return &referenceCarrier{} })
	})
}

// twistedCarrier is the reference with some methods replaced.
type twistedCarrier struct {
	*referenceCarrier
	now    func() time.Time
	load   func(ctx context.Context, id core.ID) (core.Record, error)
	update func(ctx context.Context, rec core.Record) error
	remove func(ctx context.Context, id core.ID) (bool, error)
	pack   func(rec core.Record) ([]byte, error)
	unpack func(ctx context.Context, data []byte) (core.Record, error)
	end    func(ctx context.Context, rec core.Record, generation uint64) error
}

func (c *twistedCarrier) Load(ctx context.Context, id core.ID) (core.Record, error) {
	if c.load != nil {
		return c.load(ctx, id)
	}
	return c.referenceCarrier.Load(ctx, id)
}

func (c *twistedCarrier) Update(ctx context.Context, rec core.Record) error {
	if c.update != nil {
		return c.update(ctx, rec)
	}
	return c.referenceCarrier.Update(ctx, rec)
}

func (c *twistedCarrier) Delete(ctx context.Context, id core.ID) (bool, error) {
	if c.remove != nil {
		return c.remove(ctx, id)
	}
	return c.referenceCarrier.Delete(ctx, id)
}

func (c *twistedCarrier) Pack(rec core.Record) ([]byte, error) {
	if c.pack != nil {
		return c.pack(rec)
	}
	return c.referenceCarrier.Pack(rec)
}

func (c *twistedCarrier) Unpack(ctx context.Context, data []byte) (core.Record, error) {
	if c.unpack != nil {
		return c.unpack(ctx, data)
	}
	return c.referenceCarrier.Unpack(ctx, data)
}

func (c *twistedCarrier) End(ctx context.Context, rec core.Record, generation uint64) error {
	if c.end != nil {
		return c.end(ctx, rec, generation)
	}
	return c.referenceCarrier.End(ctx, rec, generation)
}

// packs makes a carrier that forgets a part of a record.
func packs(forget func(rec *core.Record)) func(*twistedCarrier) {
	return func(c *twistedCarrier) {
		c.pack = func(rec core.Record) ([]byte, error) {
			forget(&rec)
			return rec.MarshalBinary()
		}
	}
}

// forgets makes a carrier whose account of a session ends when fn says.
func forgets(fn func(rec core.Record, was, now time.Time) time.Time) func(*twistedCarrier) {
	return func(c *twistedCarrier) {
		until := map[core.ID]time.Time{}
		forget := func(id core.ID) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if at, ok := until[id]; ok && !at.After(c.now()) {
				delete(c.ended, id)
				delete(until, id)
			}
		}
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			forget(rec.ID)
			c.mu.Lock()
			until[rec.ID] = fn(rec, until[rec.ID], c.now())
			c.mu.Unlock()
			return c.referenceCarrier.End(ctx, rec, generation)
		}
		c.update = func(ctx context.Context, rec core.Record) error {
			forget(rec.ID)
			return c.referenceCarrier.Update(ctx, rec)
		}
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			var rec core.Record
			if err := rec.UnmarshalBinary(data); err != nil {
				return core.Record{}, err
			}
			return rec, c.update(ctx, rec)
		}
	}
}

var errList = errors.New("the list failed")

// brokenCarriers are wrong in one thing each. The cases named must find it.
var brokenCarriers = []struct {
	name      string
	fails     string
	revocable bool
	twist     func(c *twistedCarrier)
}{
	{"drops User", "carrying/round-trip carrying/golden cookies/session", false, packs(func(rec *core.Record) { rec.User = "" })},
	{"drops Horizon", "carrying/round-trip carrying/golden", false, packs(func(rec *core.Record) { rec.Horizon = rec.Deadline })},
	{"drops LoginAt", "carrying/round-trip", false, packs(func(rec *core.Record) { rec.LoginAt = time.Time{} })},
	{"drops Requests", "carrying/round-trip", false, packs(func(rec *core.Record) { rec.Requests = 0 })},
	{"drops Persistent", "carrying/round-trip", false, packs(func(rec *core.Record) { rec.Persistent = false })},
	{"keeps times in seconds", "carrying/round-trip", false, packs(func(rec *core.Record) {
		for _, at := range times(rec) {
			*at = at.Truncate(time.Second)
		}
	})},
	{"makes sessions eternal", "cookies/expiry", false, packs(func(rec *core.Record) {
		rec.ExpiresAt, rec.Deadline, rec.IdleTimeout = rec.CreatedAt.Add(core.MaxLifetime), rec.CreatedAt.Add(core.MaxLifetime), core.MaxLifetime
	})},
	{"drops what is large", "cookies/too-large", false, packs(func(rec *core.Record) {
		if len(rec.Values) > 1000 {
			rec.Values = nil
		}
	})},
	{"packs into one buffer", "carrying/not-shared", false, func(c *twistedCarrier) {
		buf := make([]byte, 0, 1<<20)
		c.pack = func(rec core.Record) ([]byte, error) { return rec.AppendBinary(buf) }
	}},
	{"unpacks in place", "carrying/not-shared", false, func(c *twistedCarrier) {
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			rec, err := c.referenceCarrier.Unpack(ctx, bytes.Clone(data))
			clear(data)
			return rec, err
		}
	}},
	{"trusts what it unpacks", "carrying/damage", false, func(c *twistedCarrier) {
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			_ = data[17]
			return c.referenceCarrier.Unpack(ctx, data)
		}
	}},
	{"damage is a failure", "carrying/damage", false, func(c *twistedCarrier) {
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			rec, err := c.referenceCarrier.Unpack(ctx, data)
			if errors.Is(err, core.ErrCorrupt) {
				err = errors.New("cannot unpack")
			}
			return rec, err
		}
	}},
	{"Load makes a record up", "carrying/verbs", false, func(c *twistedCarrier) {
		c.load = func(ctx context.Context, id core.ID) (core.Record, error) { return core.Record{ID: id}, nil }
	}},
	{"ErrNotFound when the context has ended", "carrying/cancelled", false, func(c *twistedCarrier) {
		c.update = func(ctx context.Context, rec core.Record) error {
			if ctx.Err() != nil {
				return core.ErrNotFound
			}
			return nil
		}
	}},
	{"the list fails", "cookies/emptied", true, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error { return errList }
	}},
	{"a failure of the list is ErrNotFound when the context has ended", "revocation/cancelled", true, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			if ctx.Err() != nil {
				return core.ErrNotFound
			}
			return c.referenceCarrier.End(ctx, rec, generation)
		}
	}},

	{"Update does not ask", "revocation/end revocation/delete endings/zombie-write endings/zombie-write-elsewhere endings/zombie-read endings/login-race endings/login-read-race", true, func(c *twistedCarrier) {
		c.update = func(ctx context.Context, rec core.Record) error { return nil }
	}},
	{"Unpack does not ask", "revocation/end endings/lifecycle endings/login-logout", true, func(c *twistedCarrier) {
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			var rec core.Record
			err := rec.UnmarshalBinary(data)
			return rec, err
		}
	}},
	{"Unpack hides what was revoked", "revocation/end", true, func(c *twistedCarrier) {
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			rec, err := c.referenceCarrier.Unpack(ctx, data)
			if err != nil {
				rec = core.Record{}
			}
			return rec, err
		}
	}},
	{"End ends one generation only", "revocation/end revocation/end-all", true, func(c *twistedCarrier) {
		type key struct {
			id         core.ID
			generation uint64
		}
		ended := map[key]bool{}
		c.update = func(ctx context.Context, rec core.Record) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if ended[key{rec.ID, rec.Generation}] {
				return core.ErrNotFound
			}
			return nil
		}
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			k := key{rec.ID, generation}
			if ended[k] {
				return core.ErrNotFound
			}
			ended[k] = true
			return nil
		}
		c.unpack = func(ctx context.Context, data []byte) (core.Record, error) {
			var rec core.Record
			if err := rec.UnmarshalBinary(data); err != nil {
				return core.Record{}, err
			}
			return rec, c.update(ctx, rec)
		}
	}},
	{"End ends everything", "revocation/end endings/lifecycle", true, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			return c.referenceCarrier.End(ctx, rec, 1<<64-1)
		}
	}},
	{"End always succeeds", "revocation/end-twice revocation/end-all revocation/contention endings/regenerate-race", true, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			c.referenceCarrier.End(ctx, rec, generation)
			return nil
		}
	}},
	{"End looks first and acts later", "revocation/contention", true, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			if err := c.referenceCarrier.Update(ctx, core.Record{ID: rec.ID, Generation: generation}); err != nil {
				return err
			}
			slow()
			c.referenceCarrier.End(ctx, rec, generation)
			return nil
		}
	}},
	{"the number of a generation is signed", "revocation/end-all", true, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			if int64(generation) < 0 {
				generation = 0
			}
			return c.referenceCarrier.End(ctx, rec, generation)
		}
	}},
	{"Delete does nothing", "revocation/delete", true, func(c *twistedCarrier) {
		c.remove = func(ctx context.Context, id core.ID) (bool, error) { return true, nil }
	}},
	{"Delete always says that it existed", "revocation/delete endings/logout-logout", true, func(c *twistedCarrier) {
		c.remove = func(ctx context.Context, id core.ID) (bool, error) {
			_, err := c.referenceCarrier.Delete(ctx, id)
			return true, err
		}
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			c.referenceCarrier.End(ctx, rec, generation)
			return nil
		}
	}},
	{"forgets after a month", "revocation/kept", true, forgets(func(rec core.Record, was, now time.Time) time.Time { return now.Add(30 * 24 * time.Hour) })},
	{"forgets at the present deadline", "revocation/kept", true, forgets(func(rec core.Record, was, now time.Time) time.Time { return rec.Deadline })},
	{"keeps the first horizon", "revocation/prolonged", true, forgets(func(rec core.Record, was, now time.Time) time.Time {
		if was.IsZero() {
			return rec.Horizon
		}
		return was
	})},
	{"keeps the last horizon", "revocation/prolonged", true, forgets(func(rec core.Record, was, now time.Time) time.Time { return rec.Horizon })},

	{"refuses after it said that it could not revoke", "no-revocation/not-revocable", false, func(c *twistedCarrier) {
		ended := map[core.ID]bool{}
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			ended[rec.ID] = true
			return core.ErrNotRevocable
		}
		c.update = func(ctx context.Context, rec core.Record) error {
			if ended[rec.ID] {
				return core.ErrNotFound
			}
			return nil
		}
	}},
	{"says that it revoked, and did not", "no-revocation/logout", false, func(c *twistedCarrier) {
		c.end = func(ctx context.Context, rec core.Record, generation uint64) error {
			if generation == 1 {
				return core.ErrNotRevocable
			}
			return nil
		}
	}},
}

// Fails if a case loses what it looks for: each entry is a mechanism removed.
func TestBrokenCarriers(t *testing.T) {
	for _, b := range brokenCarriers {
		t.Run(b.name, func(t *testing.T) {
			wantFound(t, carrierGroups, b.fails, func(t testing.TB, clock func() time.Time) core.Store {
				c := &twistedCarrier{referenceCarrier: &referenceCarrier{}, now: clock}
				if b.revocable {
					c.ended = map[core.ID]uint64{}
				}
				b.twist(c)
				return c
			})
		})
	}
}
