package storetest

import (
	"context"
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
