package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// A database that cannot return what it deletes is asked for each record, and
// only what this store removed is told of.
// Fails if take() believes the SELECT.
func TestTellsOfWhatItRemoved(t *testing.T) {
	var ids []string
	for i := range 5 {
		ids = append(ids, core.ID{byte(i + 1)}.String())
	}
	const others, failing = 1, 3 // by their place
	for _, swept := range []bool{true, false} {
		var deleted []string
		f := &fake{}
		f.answer = func(_ context.Context, query string, args []driver.NamedValue) reply {
			switch {
			case strings.HasPrefix(query, "SELECT"):
				var r reply
				for i, id := range ids {
					if swept || id == args[0].Value {
						r.rows = append(r.rows, []driver.Value{id, int64(1), []byte("ann"), int64(i), int64(i + 1), []byte("?")})
					}
				}
				return r
			case strings.Contains(query, "locks"):
				return reply{}
			}
			id := args[0].Value.(string)
			deleted = append(deleted, id)
			switch slices.Index(ids, id) {
			case others:
				return reply{}
			case failing:
				return reply{err: errors.New("connection refused")}
			}
			return reply{affected: 1}
		}
		s := newStore(t, f, Config{Dialect: MySQL, SweepBatch: 5})
		var told []string
		s.NotifyExpired(func(_ context.Context, rec core.Record, s bool) {
			if s != swept || rec.User != "ann" || !rec.ExpiresAt.Equal(rec.LastAccess.Add(time.Millisecond)) {
				t.Errorf("told of %v, swept %v", rec, s)
			}
			told = append(told, rec.ID.String())
		})
		if swept {
			n, err := s.Sweep(t.Context(), time.Time{}, time.Now())
			if n != 2 || err == nil {
				t.Errorf("Sweep: %d, %v; want 2, and the failure", n, err)
			}
		} else {
			for i := range 3 {
				if err := s.Expire(t.Context(), core.ID{byte(i + 1)}); err != nil {
					t.Errorf("Expire: %v", err)
				}
			}
		}
		if want := []string{ids[0], ids[2]}; !slices.Equal(told, want) {
			t.Errorf("swept %v: told of %v, want %v", swept, told, want)
		}
	}
}

// Fails if Sweep asks for what it removes although nobody listens, or goes on
// to do so after the last has left.
func TestSweepAsksOnlyIfHeard(t *testing.T) {
	for _, d := range dialects {
		f := &fake{answer: func(context.Context, string, []driver.NamedValue) reply { return reply{} }}
		s := newStore(t, f, Config{Dialect: d})
		telling := func() bool {
			f.calls = nil
			s.Sweep(t.Context(), time.Time{}, time.Now())
			s.Expire(t.Context(), core.ID{1})
			return slices.Contains(f.calls, s.sql.sweepTell) || slices.Contains(f.calls, s.sql.expireTell)
		}
		if telling() {
			t.Errorf("%v: asks for what nobody wants to hear", d)
		}
		cancel := s.NotifyExpired(func(context.Context, core.Record, bool) {})
		if !telling() {
			t.Errorf("%v: does not ask", d)
		}
		if cancel(); telling() {
			t.Errorf("%v: asks after the last has left", d)
		}
	}
}
