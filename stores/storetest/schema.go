package storetest

import (
	"sync/atomic"

	"github.com/coatcheck/sessions/core"
)

// checking are the cases for a [core.Checker].
var checking = []testcase{
	{"fit", "Check finds nothing wrong with a store that works, and changes nothing.", func(t *trial) {
		rec := t.create(t.of("alice"))
		for range 2 {
			t.want("Check", must[core.Checker](t).Check(t.ctx), nil)
			t.wantStored("after Check", rec)
		}
	}},
}

// migrating are the cases for a [core.Migrator].
var migrating = []testcase{
	{"idempotent", "Migrate never removes anything, however often it runs.", func(t *trial) {
		var recs []core.Record
		for range 5 {
			recs = append(recs, t.create(t.of("alice")))
		}
		for range 2 {
			t.want("Migrate", must[core.Migrator](t).Migrate(t.ctx), nil)
			for _, rec := range recs {
				t.wantStored("after Migrate", rec)
			}
		}
	}},
	{"drop", "Drop removes everything, twice as once; the store is fit again after Migrate, and empty.", func(t *trial) {
		m := must[core.Migrator](t)
		rec := t.create(t.of("alice"))
		for range 2 {
			t.want("Drop", m.Drop(t.ctx), nil)
		}
		if c, ok := power[core.Checker](t.store); ok {
			if err := c.Check(t.ctx); err == nil {
				t.Error("after Drop: Check: success, want an error that says what is missing")
			}
		}
		if _, err := t.store.Load(t.ctx, rec.ID); answers(err) {
			t.Errorf("after Drop: Load: %s, want a failure: nothing is known of any session", outcome(err))
		}
		t.want("Migrate", m.Migrate(t.ctx), nil)
		t.wantAbsent("after Drop and Migrate", rec.ID)
		t.wantStored("created anew", t.create(rec))
	}},
	{"together", "Migrate may run on every node at once.", func(t *trial) {
		m := must[core.Migrator](t)
		t.want("Drop", m.Drop(t.ctx), nil)
		var failed atomic.Int32
		together(4, func(int) {
			if err := m.Migrate(t.ctx); err != nil {
				failed.Add(1)
				t.Errorf("one of four Migrates at once: %v", err)
			}
		})
		if failed.Load() == 0 {
			t.wantStored("after four Migrates at once", t.create(t.record()))
		}
	}},
}
