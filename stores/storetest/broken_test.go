package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// twisted is the reference with some verbs replaced.
type twisted struct {
	*reference
	load          func(ctx context.Context, id core.ID) (core.Record, error)
	create        func(ctx context.Context, rec core.Record) error
	update        func(ctx context.Context, rec core.Record) error
	touch         func(ctx context.Context, id core.ID, access, expires time.Time) error
	remove        func(ctx context.Context, id core.ID) (bool, error)
	removeVersion func(ctx context.Context, id core.ID, version uint64) error
	listUser      func(ctx context.Context, user string) ([]core.Record, error)
	list          func(ctx context.Context) iter.Seq2[core.Record, error]
	count         func(ctx context.Context) (int, error)
	sweep         func(ctx context.Context, from, to time.Time) (int, error)
	acquire       func(ctx context.Context, id core.ID) (func(), error)
	check         func(ctx context.Context) error
	migrate       func(ctx context.Context) error
	erase         func(ctx context.Context) error
	expire        func(ctx context.Context, id core.ID) error
	notify        func(fn func(context.Context, core.Record, bool)) (cancel func())
}

func (s *twisted) Load(ctx context.Context, id core.ID) (core.Record, error) {
	if s.load != nil {
		return s.load(ctx, id)
	}
	return s.reference.Load(ctx, id)
}

func (s *twisted) Create(ctx context.Context, rec core.Record) error {
	if s.create != nil {
		return s.create(ctx, rec)
	}
	return s.reference.Create(ctx, rec)
}

func (s *twisted) Update(ctx context.Context, rec core.Record) error {
	if s.update != nil {
		return s.update(ctx, rec)
	}
	return s.reference.Update(ctx, rec)
}

func (s *twisted) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	if s.touch != nil {
		return s.touch(ctx, id, access, expires)
	}
	return s.reference.Touch(ctx, id, access, expires)
}

func (s *twisted) Delete(ctx context.Context, id core.ID) (bool, error) {
	if s.remove != nil {
		return s.remove(ctx, id)
	}
	return s.reference.Delete(ctx, id)
}

func (s *twisted) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	if s.removeVersion != nil {
		return s.removeVersion(ctx, id, version)
	}
	return s.reference.DeleteVersion(ctx, id, version)
}

func (s *twisted) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	if s.listUser != nil {
		return s.listUser(ctx, user)
	}
	return s.reference.ListUser(ctx, user)
}

func (s *twisted) List(ctx context.Context) iter.Seq2[core.Record, error] {
	if s.list != nil {
		return s.list(ctx)
	}
	return s.reference.List(ctx)
}

func (s *twisted) Count(ctx context.Context) (int, error) {
	if s.count != nil {
		return s.count(ctx)
	}
	return s.reference.Count(ctx)
}

func (s *twisted) Sweep(ctx context.Context, from, to time.Time) (int, error) {
	if s.sweep != nil {
		return s.sweep(ctx, from, to)
	}
	return s.reference.Sweep(ctx, from, to)
}

func (s *twisted) Lock(ctx context.Context, id core.ID) (func(), error) {
	if s.acquire != nil {
		return s.acquire(ctx, id)
	}
	return s.reference.Lock(ctx, id)
}

func (s *twisted) Expire(ctx context.Context, id core.ID) error {
	if s.expire != nil {
		return s.expire(ctx, id)
	}
	return s.reference.Expire(ctx, id)
}

func (s *twisted) NotifyExpired(fn func(context.Context, core.Record, bool)) (cancel func()) {
	if s.notify != nil {
		return s.notify(fn)
	}
	return s.reference.NotifyExpired(fn)
}

func (s *twisted) Check(ctx context.Context) error {
	if s.check != nil {
		return s.check(ctx)
	}
	return s.reference.Check(ctx)
}

func (s *twisted) Migrate(ctx context.Context) error {
	if s.migrate != nil {
		return s.migrate(ctx)
	}
	return s.reference.Migrate(ctx)
}

func (s *twisted) Drop(ctx context.Context) error {
	if s.erase != nil {
		return s.erase(ctx)
	}
	return s.reference.Drop(ctx)
}

// stores makes a store that keeps every record as fn makes it.
func stores(fn func(rec core.Record) core.Record) func(*twisted) {
	return func(s *twisted) {
		s.create = func(ctx context.Context, rec core.Record) error { return s.reference.Create(ctx, fn(rec)) }
		s.update = func(ctx context.Context, rec core.Record) error { return s.reference.Update(ctx, fn(rec)) }
	}
}

// drops makes a store that forgets a part of a record.
func drops(forget func(rec *core.Record)) func(*twisted) {
	return stores(func(rec core.Record) core.Record {
		forget(&rec)
		return rec
	})
}

// keeps makes a store whose Update leaves a part of the old record.
func keeps(keep func(next *core.Record, old core.Record)) func(*twisted) {
	return func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			keep(&rec, s.records[rec.ID])
			s.mu.Unlock()
			return s.reference.Update(ctx, rec)
		}
	}
}

// times are the times of a record.
func times(rec *core.Record) []*time.Time {
	return []*time.Time{&rec.PreviousUntil, &rec.CreatedAt, &rec.LoginAt, &rec.LastAccess, &rec.ExpiresAt, &rec.Deadline, &rec.Horizon}
}

// slow gives others the chance to come between.
func slow() {
	for range 20 {
		runtime.Gosched()
	}
}

// until waits for others to do something, though not for long.
func (s *reference) until(done func() bool) {
	for range 100 {
		s.mu.Lock()
		ok := done()
		s.mu.Unlock()
		if ok {
			return
		}
		slow()
	}
}

// racy makes a store whose verbs look first and act later, on the whole map,
// with nothing to hold others off in between.
func racy(s *twisted) {
	look := func() *reference {
		defer s.lock()()
		snapshot := newReference(s.now)
		for id, rec := range s.records {
			snapshot.records[id] = rec
		}
		return snapshot
	}
	act := func(snapshot *reference) {
		slow()
		defer s.lock()()
		s.records = snapshot.records
	}
	s.create = func(ctx context.Context, rec core.Record) error {
		snapshot := look()
		defer act(snapshot)
		return snapshot.Create(ctx, rec)
	}
	s.update = func(ctx context.Context, rec core.Record) error {
		snapshot := look()
		defer act(snapshot)
		return snapshot.Update(ctx, rec)
	}
	s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
		snapshot := look()
		defer act(snapshot)
		return snapshot.Touch(ctx, id, access, expires)
	}
	s.remove = func(ctx context.Context, id core.ID) (bool, error) {
		snapshot := look()
		defer act(snapshot)
		return snapshot.Delete(ctx, id)
	}
	s.removeVersion = func(ctx context.Context, id core.ID, version uint64) error {
		snapshot := look()
		defer act(snapshot)
		return snapshot.DeleteVersion(ctx, id, version)
	}
}

// brokenStores are wrong in one thing each. The cases named must find it.
var brokenStores = []struct {
	name  string
	fails string // cases, separated by spaces
	twist func(s *twisted)
}{
	{"Load makes a record up", "verbs/load-unknown", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) {
			rec, err := s.reference.Load(ctx, id)
			if errors.Is(err, core.ErrNotFound) {
				return core.Record{ID: id}, nil
			}
			return rec, err
		}
	}},
	{"keeps nothing", "outages/load outages/create outages/update outages/login outages/logout outages/touch outages/emptied outages/partial outages/no-session", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) { return core.Record{}, core.ErrNotFound }
		s.create = func(ctx context.Context, rec core.Record) error { return errors.New("no") }
	}},

	{"drops Generation", "verbs/create-and-load", drops(func(rec *core.Record) { rec.Generation = 1 })},
	{"keeps Generation as a float", "verbs/create-and-load", drops(func(rec *core.Record) { rec.Generation = uint64(float64(rec.Generation)) })},
	{"drops Previous", "verbs/create-and-load format/golden", drops(func(rec *core.Record) { rec.Previous = [32]byte{} })},
	{"drops PreviousUntil", "verbs/create-and-load", drops(func(rec *core.Record) { rec.PreviousUntil = time.Time{} })},
	{"drops User", "verbs/create-and-load", drops(func(rec *core.Record) { rec.User = "" })},
	{"drops CreatedAt", "verbs/create-and-load", drops(func(rec *core.Record) { rec.CreatedAt = rec.LastAccess })},
	{"drops LoginAt", "verbs/create-and-load", drops(func(rec *core.Record) { rec.LoginAt = time.Time{} })},
	{"drops LastAccess", "verbs/create-and-load", drops(func(rec *core.Record) { rec.LastAccess = rec.CreatedAt })},
	{"drops IdleTimeout", "verbs/create-and-load", drops(func(rec *core.Record) { rec.IdleTimeout = 0 })},
	{"keeps IdleTimeout in seconds", "verbs/create-and-load", drops(func(rec *core.Record) { rec.IdleTimeout = rec.IdleTimeout.Truncate(time.Second) })},
	{"drops Deadline", "verbs/create-and-load", drops(func(rec *core.Record) { rec.Deadline = rec.ExpiresAt })},
	{"drops Horizon", "verbs/create-and-load", drops(func(rec *core.Record) { rec.Horizon = rec.Deadline })},
	{"drops Persistent", "verbs/create-and-load", drops(func(rec *core.Record) { rec.Persistent = false })},
	{"drops Requests", "verbs/create-and-load", drops(func(rec *core.Record) { rec.Requests = 0 })},
	{"Update keeps the old Proof", "verbs/update-and-load endings/lifecycle", keeps(func(next *core.Record, old core.Record) { next.Proof = old.Proof })},
	{"Update keeps the old User", "verbs/update-and-load", keeps(func(next *core.Record, old core.Record) { next.User = old.User })},
	{"Update keeps an old User if there is no new one", "verbs/update-and-load list-user/user-change", keeps(func(next *core.Record, old core.Record) {
		if next.User == "" {
			next.User = old.User
		}
	})},
	{"keeps the zero time as 1970", "verbs/zero-times", drops(func(rec *core.Record) {
		for _, at := range times(rec) {
			if at.IsZero() {
				*at = time.Unix(0, 0)
			}
		}
	})},
	{"keeps times in seconds", "verbs/milliseconds verbs/create-and-load verbs/expiry", drops(func(rec *core.Record) {
		for _, at := range times(rec) {
			*at = at.Truncate(time.Second)
		}
	})},
	{"rounds times to 10 ms", "verbs/milliseconds", drops(func(rec *core.Record) {
		for _, at := range times(rec) {
			*at = at.Round(10 * time.Millisecond)
		}
	})},
	{"tells the time in seconds", "verbs/expiry", func(s *twisted) {
		clock := s.now
		s.now = func() time.Time { return clock().Truncate(time.Second) }
	}},
	{"keeps what the clock on the wall shows", "verbs/times-are-instants", drops(func(rec *core.Record) {
		for _, at := range times(rec) {
			*at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
		}
	})},
	{"cuts values at 65535 bytes", "verbs/values", drops(func(rec *core.Record) { rec.Values = rec.Values[:min(len(rec.Values), 65535)] })},
	{"cuts values at 32 KB", "verbs/values merging/big", drops(func(rec *core.Record) { rec.Values = rec.Values[:min(len(rec.Values), 32<<10)] })},
	{"keeps values as text", "verbs/values", drops(func(rec *core.Record) { rec.Values = []byte(strings.ToValidUTF8(string(rec.Values), "?")) })},
	{"keeps values up to a zero byte", "verbs/values", drops(func(rec *core.Record) { rec.Values, _, _ = bytes.Cut(rec.Values, []byte{0}) })},
	{"cuts users at 64 bytes", "verbs/users", drops(func(rec *core.Record) { rec.User = rec.User[:min(len(rec.User), 64)] })},
	{"trims users", "verbs/users", drops(func(rec *core.Record) { rec.User = strings.TrimSpace(rec.User) })},
	{"tells IDs apart regardless of case", "verbs/ids", func(s *twisted) {
		same := func(id core.ID) core.ID {
			s.mu.Lock()
			defer s.mu.Unlock()
			for other := range s.records {
				if strings.EqualFold(other.String(), id.String()) {
					return other
				}
			}
			return id
		}
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) { return s.reference.Load(ctx, same(id)) }
		s.create = func(ctx context.Context, rec core.Record) error {
			rec.ID = same(rec.ID)
			return s.reference.Create(ctx, rec)
		}
	}},
	{"tells IDs apart by 15 bytes", "verbs/ids", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) {
			s.mu.Lock()
			for other := range s.records {
				if bytes.Equal(other[:15], id[:15]) {
					id = other
				}
			}
			s.mu.Unlock()
			return s.reference.Load(ctx, id)
		}
	}},

	{"Create overwrites", "verbs/create-existing contention/create-create", func(s *twisted) {
		s.create = func(ctx context.Context, rec core.Record) error {
			defer s.lock()()
			s.records[rec.ID] = rec
			return nil
		}
	}},
	{"Create refuses an expired ID", "verbs/create-over-expired contention/create-create-expired", func(s *twisted) {
		s.create = func(ctx context.Context, rec core.Record) error {
			defer s.lock()()
			if _, ok := s.records[rec.ID]; ok {
				return core.ErrExists
			}
			s.records[rec.ID] = rec
			return nil
		}
	}},
	{"Delete leaves a tombstone", "verbs/create-after-delete", func(s *twisted) {
		dead := map[core.ID]bool{}
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			s.mu.Lock()
			dead[id] = true
			s.mu.Unlock()
			return s.reference.Delete(ctx, id)
		}
		s.create = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			gone := dead[rec.ID]
			s.mu.Unlock()
			if gone {
				return core.ErrExists
			}
			return s.reference.Create(ctx, rec)
		}
	}},

	{"no version check", "verbs/update-conflict interleavings/scripts interleavings/history contention/update-update contention/counter " +
		"endings/login-race endings/login-login endings/regenerate-race merging/lost-update merging/lost-updates merging/counter merging/take-once", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			defer s.lock()()
			if _, ok := s.live(rec.ID); !ok {
				return core.ErrNotFound
			}
			s.records[rec.ID] = rec
			return nil
		}
	}},
	{"updates to any later version", "verbs/update-conflict", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			defer s.lock()()
			old, ok := s.live(rec.ID)
			if !ok {
				return core.ErrNotFound
			}
			if rec.Version <= old.Version {
				return core.ErrConflict
			}
			s.records[rec.ID] = rec
			return nil
		}
	}},
	{"upsert", "verbs/update-absent verbs/update-into-the-past contention/delete-update interleavings/scripts " +
		"endings/zombie-write endings/zombie-write-elsewhere endings/login-logout merging/emptied-then-set revoke/revoke-during-login", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			err := s.reference.Update(ctx, rec)
			if errors.Is(err, core.ErrNotFound) {
				err = s.reference.Create(ctx, rec)
			}
			return err
		}
	}},
	{"Update of a lost record is a conflict", "verbs/update-absent", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			if s.reference.Update(ctx, rec) != nil {
				return core.ErrConflict
			}
			return nil
		}
	}},
	{"Update never shortens", "verbs/update-shortens verbs/update-into-the-past", keeps(func(next *core.Record, old core.Record) {
		if old.ExpiresAt.After(next.ExpiresAt) {
			next.ExpiresAt = old.ExpiresAt
		}
	})},
	{"Update revives what has expired", "verbs/expiry interleavings/scripts merging/expired-meanwhile", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			defer s.lock()()
			old, ok := s.records[rec.ID]
			switch {
			case !ok:
				return core.ErrNotFound
			case old.Version != rec.Version-1:
				return core.ErrConflict
			}
			if now := s.now(); !rec.ExpiresAt.After(now) {
				rec.ExpiresAt = now.Add(time.Minute)
				rec.Deadline, rec.LastAccess = rec.ExpiresAt, now
			}
			s.records[rec.ID] = rec
			return nil
		}
	}},

	{"Touch bumps the version", "verbs/touch contention/touch-update", func(s *twisted) {
		s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
			err := s.reference.Touch(ctx, id, access, expires)
			if err == nil {
				defer s.lock()()
				rec := s.records[id]
				rec.Version++
				s.records[id] = rec
			}
			return err
		}
	}},
	{"Touch moves backwards", "verbs/touch-backwards contention/touch-touch", func(s *twisted) {
		s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
			slow()
			defer s.lock()()
			rec, ok := s.live(id)
			if !ok {
				return core.ErrNotFound
			}
			rec.LastAccess, rec.ExpiresAt = access, expires
			s.records[id] = rec
			return nil
		}
	}},
	{"Touch moves both times or none", "verbs/touch-backwards", func(s *twisted) {
		s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
			s.mu.Lock()
			rec, ok := s.live(id)
			s.mu.Unlock()
			if ok && (!access.After(rec.LastAccess) || !expires.After(rec.ExpiresAt)) {
				return nil
			}
			return s.reference.Touch(ctx, id, access, expires)
		}
	}},
	{"Touch moves LastAccess only", "verbs/touch verbs/touch-prolongs merging/kept-alive list-user/expiry list/expiry", func(s *twisted) {
		s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
			return s.reference.Touch(ctx, id, access, access)
		}
	}},
	{"Touch recreates", "verbs/touch-absent contention/delete-touch endings/zombie-read interleavings/scripts", func(s *twisted) {
		seen := map[core.ID]core.Record{}
		s.create = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			seen[rec.ID] = rec
			s.mu.Unlock()
			return s.reference.Create(ctx, rec)
		}
		s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
			err := s.reference.Touch(ctx, id, access, expires)
			if errors.Is(err, core.ErrNotFound) {
				slow()
				defer s.lock()()
				rec := seen[id]
				rec.ID, rec.LastAccess, rec.ExpiresAt = id, access, expires
				s.records[id] = rec
				return nil
			}
			return err
		}
	}},
	{"Touch stores the record that Create was given", "verbs/touch endings/login-read-race", func(s *twisted) {
		seen := map[core.ID]core.Record{}
		s.create = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			seen[rec.ID] = rec
			s.mu.Unlock()
			return s.reference.Create(ctx, rec)
		}
		s.touch = func(ctx context.Context, id core.ID, access, expires time.Time) error {
			err := s.reference.Touch(ctx, id, access, expires)
			if err == nil {
				defer s.lock()()
				rec, now := seen[id], s.records[id]
				rec.LastAccess, rec.ExpiresAt = now.LastAccess, now.ExpiresAt
				s.records[id] = rec
			}
			return err
		}
	}},

	{"Delete of an absent record is an error", "verbs/delete", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			existed, err := s.reference.Delete(ctx, id)
			if !existed {
				err = core.ErrNotFound
			}
			return existed, err
		}
	}},
	{"Delete always says that it existed", "verbs/delete endings/logout-logout", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			_, err := s.reference.Delete(ctx, id)
			return true, err
		}
	}},
	{"Delete never says that it existed", "verbs/delete", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			_, err := s.reference.Delete(ctx, id)
			return false, err
		}
	}},
	{"Delete says that an expired record existed", "verbs/delete-expired", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			defer s.lock()()
			_, ok := s.records[id]
			delete(s.records, id)
			return ok, nil
		}
	}},
	{"Delete does nothing", "verbs/delete list-user/logout", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			defer s.lock()()
			_, ok := s.live(id)
			return ok, nil
		}
	}},

	{"serves what has expired", "verbs/expiry", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) {
			defer s.lock()()
			rec, ok := s.records[id]
			if !ok {
				return core.Record{}, core.ErrNotFound
			}
			return rec, nil
		}
	}},
	{"serves for a millisecond too long", "verbs/expiry", func(s *twisted) {
		clock := s.now
		s.now = func() time.Time { return clock().Add(-time.Millisecond) }
	}},
	{"serves for a millisecond too short", "verbs/expiry", func(s *twisted) {
		clock := s.now
		s.now = func() time.Time { return clock().Add(time.Millisecond) }
	}},
	{"ErrExpired from Update", "verbs/expiry", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			err := s.reference.Update(ctx, rec)
			s.mu.Lock()
			defer s.mu.Unlock()
			if _, ok := s.records[rec.ID]; ok && errors.Is(err, core.ErrNotFound) {
				err = core.ErrExpired
			}
			return err
		}
	}},

	{"Create appends to the values", "verbs/values-not-written", func(s *twisted) {
		s.create = func(ctx context.Context, rec core.Record) error {
			_ = append(rec.Values, "checksum"...)
			return s.reference.Create(ctx, rec)
		}
	}},
	{"Delete wipes the values", "verbs/values-not-written verbs/values-not-shared", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			s.mu.Lock()
			clear(s.records[id].Values)
			s.mu.Unlock()
			return s.reference.Delete(ctx, id)
		}
	}},
	{"Update writes over the values in place", "verbs/values-not-shared", func(s *twisted) {
		s.create = func(ctx context.Context, rec core.Record) error {
			rec.Values = bytes.Clone(rec.Values)
			return s.reference.Create(ctx, rec)
		}
		s.update = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			old := s.records[rec.ID].Values
			s.mu.Unlock()
			next := rec
			next.Values = append(old[:0], rec.Values...)
			return s.reference.Update(ctx, next)
		}
	}},
	{"keeps 100 records", "verbs/many list/live list-user/many", func(s *twisted) {
		s.create = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			for id := range s.records {
				if len(s.records) >= 100 {
					delete(s.records, id)
				}
			}
			s.mu.Unlock()
			return s.reference.Create(ctx, rec)
		}
	}},

	{"looks first and acts later", "contention/create-create contention/create-create-expired contention/update-update contention/counter " +
		"contention/delete-delete contention/delete-update contention/delete-touch contention/touch-update contention/touch-touch contention/strangers " +
		"list-user/contention delete-version/contention", racy},
	{"Load reads the record in two steps", "contention/load-update", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) {
			first, err := s.reference.Load(ctx, id)
			if err != nil {
				return first, err
			}
			slow()
			second, err := s.reference.Load(ctx, id)
			first.Values = second.Values
			return first, err
		}
	}},

	{"ErrNotFound when the context has ended", "contexts/ended-before", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) {
			if ctx.Err() != nil {
				return core.Record{}, core.ErrNotFound
			}
			return s.reference.Load(ctx, id)
		}
	}},
	{"an error of its own when the context has ended", "contexts/ended-before", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			if ctx.Err() != nil {
				return errors.New("timeout")
			}
			return s.reference.Update(ctx, rec)
		}
	}},
	{"success for nothing when the context has ended", "contexts/ended-before contexts/ended-before-absent", func(s *twisted) {
		s.update = func(ctx context.Context, rec core.Record) error {
			if ctx.Err() != nil {
				return nil
			}
			return s.reference.Update(ctx, rec)
		}
	}},
	{"leaves half a record when the context ends", "contexts/ends-meanwhile contexts/create-meanwhile", func(s *twisted) {
		meanwhile := func(ctx context.Context) error {
			for range 1000 {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				runtime.Gosched()
			}
			return nil
		}
		s.create = func(ctx context.Context, rec core.Record) error {
			half := rec
			half.Values = nil
			if err := s.reference.Create(ctx, half); err != nil {
				return err
			}
			if err := meanwhile(ctx); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records[rec.ID] = rec
			return nil
		}
		s.update = func(ctx context.Context, rec core.Record) error {
			half := rec
			half.Values = half.Values[:len(half.Values)/2]
			if err := s.reference.Update(ctx, half); err != nil {
				return err
			}
			if err := meanwhile(ctx); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records[rec.ID] = rec
			return nil
		}
	}},

	{"lists nobody", "list-user/create list-user/contention revoke/revoke-user revoke/revoke-under-load", func(s *twisted) {
		s.listUser = func(ctx context.Context, user string) ([]core.Record, error) { return nil, nil }
	}},
	{"lists the user that Create was given", "list-user/login list-user/user-change interleavings/scripts", func(s *twisted) {
		users := map[core.ID]string{}
		s.create = func(ctx context.Context, rec core.Record) error {
			err := s.reference.Create(ctx, rec)
			if err == nil {
				s.mu.Lock()
				users[rec.ID] = rec.User
				s.mu.Unlock()
			}
			return err
		}
		s.listUser = func(ctx context.Context, user string) (out []core.Record, err error) {
			defer s.lock()()
			for id := range s.records {
				if rec, ok := s.live(id); ok && users[id] == user {
					out = append(out, rec)
				}
			}
			return out, nil
		}
	}},
	{"never takes a session off a user's list", "list-user/user-change list-user/logout list-user/replaced", func(s *twisted) {
		index := map[string]map[core.ID]core.Record{}
		add := func(rec core.Record, err error) error {
			if err == nil {
				defer s.lock()()
				if index[rec.User] == nil {
					index[rec.User] = map[core.ID]core.Record{}
				}
				index[rec.User][rec.ID] = rec
			}
			return err
		}
		s.create = func(ctx context.Context, rec core.Record) error { return add(rec, s.reference.Create(ctx, rec)) }
		s.update = func(ctx context.Context, rec core.Record) error { return add(rec, s.reference.Update(ctx, rec)) }
		s.listUser = func(ctx context.Context, user string) (out []core.Record, err error) {
			defer s.lock()()
			for _, rec := range index[user] {
				out = append(out, rec)
			}
			return out, nil
		}
	}},
	{"lists before it knows whether the verb succeeds", "list-user/refused", func(s *twisted) {
		index := map[core.ID]core.Record{}
		add := func(rec core.Record) {
			defer s.lock()()
			index[rec.ID] = rec
		}
		s.create = func(ctx context.Context, rec core.Record) error {
			add(rec)
			return s.reference.Create(ctx, rec)
		}
		s.update = func(ctx context.Context, rec core.Record) error {
			add(rec)
			return s.reference.Update(ctx, rec)
		}
		s.listUser = func(ctx context.Context, user string) (out []core.Record, err error) {
			defer s.lock()()
			for id, rec := range index {
				if _, ok := s.live(id); ok && rec.User == user {
					out = append(out, rec)
				}
			}
			return out, nil
		}
	}},
	{"lists what has expired", "list-user/expiry list/expiry", func(s *twisted) {
		s.listUser = func(ctx context.Context, user string) (out []core.Record, err error) {
			defer s.lock()()
			for _, rec := range s.records {
				if rec.User == user {
					out = append(out, rec)
				}
			}
			return out, nil
		}
		s.list = func(ctx context.Context) iter.Seq2[core.Record, error] {
			return func(yield func(core.Record, error) bool) {
				defer s.lock()()
				for _, rec := range s.records {
					if !yield(rec, nil) {
						return
					}
				}
			}
		}
	}},
	{"users regardless of case", "list-user/users", func(s *twisted) {
		s.listUser = func(ctx context.Context, user string) (out []core.Record, err error) {
			defer s.lock()()
			for id := range s.records {
				if rec, ok := s.live(id); ok && strings.EqualFold(rec.User, user) {
					out = append(out, rec)
				}
			}
			return out, nil
		}
	}},
	{"users by prefix", "list-user/users", func(s *twisted) {
		s.listUser = func(ctx context.Context, user string) (out []core.Record, err error) {
			defer s.lock()()
			for id := range s.records {
				if rec, ok := s.live(id); ok && strings.HasPrefix(rec.User, user) {
					out = append(out, rec)
				}
			}
			return out, nil
		}
	}},
	{"lists 100 sessions of a user", "list-user/many", func(s *twisted) {
		s.listUser = func(ctx context.Context, user string) ([]core.Record, error) {
			recs, err := s.reference.ListUser(ctx, user)
			return recs[:min(len(recs), 100)], err
		}
	}},
	{"lists each session twice", "list-user/create list/live", func(s *twisted) {
		s.listUser = func(ctx context.Context, user string) ([]core.Record, error) {
			recs, err := s.reference.ListUser(ctx, user)
			return append(recs, recs...), err
		}
		s.list = func(ctx context.Context) iter.Seq2[core.Record, error] {
			return func(yield func(core.Record, error) bool) {
				for rec, err := range s.reference.List(ctx) {
					for range 2 {
						if !yield(rec, err) {
							return
						}
					}
				}
			}
		}
	}},
	{"List cannot be stopped", "list/stop", func(s *twisted) {
		s.list = func(ctx context.Context) iter.Seq2[core.Record, error] {
			return func(yield func(core.Record, error) bool) {
				for rec, err := range s.reference.List(ctx) {
					yield(rec, err)
				}
			}
		}
	}},
	{"List misses what was updated", "list/live list/churn", func(s *twisted) {
		s.list = func(ctx context.Context) iter.Seq2[core.Record, error] {
			return func(yield func(core.Record, error) bool) {
				for rec, err := range s.reference.List(ctx) {
					if rec.Version == 1 && !yield(rec, err) {
						return
					}
				}
			}
		}
	}},
	{"Count counts Creates", "count/live", func(s *twisted) {
		n := 0
		s.create = func(ctx context.Context, rec core.Record) error {
			n++
			return s.reference.Create(ctx, rec)
		}
		s.count = func(ctx context.Context) (int, error) { return n, nil }
	}},

	{"Sweep removes everything", "sweep/expired sweep/moved sweep/many", func(s *twisted) {
		s.sweep = func(ctx context.Context, from, to time.Time) (int, error) {
			defer s.lock()()
			n := len(s.records)
			clear(s.records)
			return n, nil
		}
	}},
	{"Sweep does not tell how many", "sweep/expired", func(s *twisted) {
		s.sweep = func(ctx context.Context, from, to time.Time) (int, error) {
			_, err := s.reference.Sweep(ctx, from, to)
			return 0, err
		}
	}},
	{"Sweep includes its second time", "sweep/range", func(s *twisted) {
		s.sweep = func(ctx context.Context, from, to time.Time) (int, error) {
			return s.reference.Sweep(ctx, from, to.Add(time.Millisecond))
		}
	}},
	{"Sweep goes by what Create was given", "sweep/moved", func(s *twisted) {
		ends := map[core.ID]time.Time{}
		s.create = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			ends[rec.ID] = rec.ExpiresAt
			s.mu.Unlock()
			return s.reference.Create(ctx, rec)
		}
		s.sweep = func(ctx context.Context, from, to time.Time) (int, error) {
			defer s.lock()()
			n := 0
			for id, end := range ends {
				if !end.Before(from) && end.Before(to) {
					delete(ends, id)
					delete(s.records, id)
					n++
				}
			}
			return n, nil
		}
	}},
	{"Sweep removes one batch", "sweep/many", func(s *twisted) {
		s.sweep = func(ctx context.Context, from, to time.Time) (int, error) {
			defer s.lock()()
			n := 0
			for id, rec := range s.records {
				if n < 100 && !rec.ExpiresAt.Before(from) && rec.ExpiresAt.Before(to) {
					delete(s.records, id)
					n++
				}
			}
			return n, nil
		}
	}},

	{"DeleteVersion ignores the version", "delete-version/version interleavings/scripts endings/emptied-after-login merging/set-then-emptied", func(s *twisted) {
		s.removeVersion = func(ctx context.Context, id core.ID, version uint64) error {
			if existed, _ := s.reference.Delete(ctx, id); !existed {
				return core.ErrNotFound
			}
			return nil
		}
	}},
	{"DeleteVersion does nothing", "delete-version/version merging/emptied", func(s *twisted) {
		s.removeVersion = func(ctx context.Context, id core.ID, version uint64) error { return nil }
	}},
	{"DeleteVersion finds what has expired", "delete-version/expiry", func(s *twisted) {
		s.removeVersion = func(ctx context.Context, id core.ID, version uint64) error {
			defer s.lock()()
			rec, ok := s.records[id]
			switch {
			case !ok:
				return core.ErrNotFound
			case rec.Version != version:
				return core.ErrConflict
			}
			delete(s.records, id)
			return nil
		}
	}},

	{"locks nothing", "lock/exclusive lock/contention exclusive/turns exclusive/timeout", func(s *twisted) {
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) { return func() {}, nil }
	}},
	{"has one lock for all", "lock/exclusive", func(s *twisted) {
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) { return s.reference.Lock(ctx, core.ID{}) }
	}},
	{"lock holds others off the record", "lock/advisory", func(s *twisted) {
		held := map[core.ID]bool{}
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) {
			unlock, err := s.reference.Lock(ctx, id)
			s.mu.Lock()
			defer s.mu.Unlock()
			held[id] = err == nil
			return unlock, err
		}
		s.update = func(ctx context.Context, rec core.Record) error {
			s.mu.Lock()
			locked := held[rec.ID]
			s.mu.Unlock()
			if locked {
				return core.ErrConflict
			}
			return s.reference.Update(ctx, rec)
		}
	}},
	{"unlock again unlocks another", "lock/unlock-twice", func(s *twisted) {
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) {
			_, err := s.reference.Lock(ctx, id)
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				select {
				case <-s.locks[id]:
				default:
				}
			}, err
		}
	}},
	{"wakes no waiter", "lock/waiter lock/contention", func(s *twisted) {
		taken := map[core.ID]bool{}
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) {
			s.mu.Lock()
			was := taken[id]
			taken[id] = true // for good
			s.mu.Unlock()
			if was {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return func() {}, nil
		}
	}},
	{"a waiter that gave up keeps its place", "lock/given-up", func(s *twisted) {
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) {
			unlock, err := s.reference.Lock(ctx, id)
			if err != nil {
				go s.reference.Lock(context.WithoutCancel(ctx), id)
			}
			return unlock, err
		}
	}},
	{"the wait for a lock ends with an answer", "lock/exclusive lock/given-up", func(s *twisted) {
		s.acquire = func(ctx context.Context, id core.ID) (func(), error) {
			unlock, err := s.reference.Lock(ctx, id)
			if err != nil {
				err = core.ErrConflict
			}
			return unlock, err
		}
	}},

	{"Expire does nothing", "expire/met expire/live", func(s *twisted) {
		s.expire = func(context.Context, core.ID) error { return nil }
	}},
	{"Expire waits for somebody to listen", "expire/unheard", func(s *twisted) {
		s.expire = func(ctx context.Context, id core.ID) error {
			if len(s.listeners) == 0 {
				return nil
			}
			return s.reference.Expire(ctx, id)
		}
	}},
	{"Expire removes whatever is there", "expire/live expire/unheard", func(s *twisted) {
		s.expire = func(ctx context.Context, id core.ID) error {
			defer s.lock()()
			delete(s.records, id)
			return nil
		}
	}},
	{"Expire looks first and removes later", "expire/prolonged", func(s *twisted) {
		s.expire = func(ctx context.Context, id core.ID) error {
			unlock := s.lock()
			rec := s.records[id]
			unlock()
			s.until(func() bool { return s.records[id].Version != rec.Version && !rec.ExpiresAt.After(s.now()) })
			if !rec.ExpiresAt.After(s.now()) {
				defer s.lock()()
				delete(s.records, id)
				s.tell(ctx, rec, false)
			}
			return nil
		}
	}},
	{"Expire wants something to expire", "expire/met", func(s *twisted) {
		s.expire = func(ctx context.Context, id core.ID) error {
			if _, err := s.reference.Load(ctx, id); err == nil {
				return nil
			}
			unlock := s.lock()
			_, there := s.records[id]
			unlock()
			if !there {
				return core.ErrNotFound
			}
			return s.reference.Expire(ctx, id)
		}
	}},
	{"the record that is told of has lost its user", "expire/met expire/swept", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() {
			return s.reference.NotifyExpired(func(ctx context.Context, rec core.Record, swept bool) {
				rec.User = ""
				fn(ctx, rec, swept)
			})
		}
	}},
	{"nothing is told", "expire/met expire/deleted expire/swept expire/cancel expire/contention", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() { return func() {} }
	}},
	{"everything is told twice", "expire/met expire/deleted expire/swept expire/contention", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() {
			return s.reference.NotifyExpired(func(ctx context.Context, rec core.Record, swept bool) {
				fn(ctx, rec, swept)
				fn(ctx, rec, swept)
			})
		}
	}},
	{"what is swept is told as if it was met", "expire/swept", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() {
			return s.reference.NotifyExpired(func(ctx context.Context, rec core.Record, _ bool) { fn(ctx, rec, false) })
		}
	}},
	{"Expire tells of what another removed", "expire/met expire/deleted expire/swept expire/contention", func(s *twisted) {
		seen := map[core.ID]core.Record{}
		s.create = func(ctx context.Context, rec core.Record) error {
			defer s.lock()()
			seen[rec.ID] = rec
			s.records[rec.ID] = rec
			return nil
		}
		s.expire = func(ctx context.Context, id core.ID) error {
			defer s.lock()()
			if rec, ok := seen[id]; ok && !rec.ExpiresAt.After(s.now()) {
				delete(s.records, id)
				s.tell(ctx, rec, false)
			}
			return nil
		}
	}},
	{"Delete tells of live records", "expire/deleted", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			unlock := s.lock()
			rec, live := s.live(id)
			if live {
				s.tell(ctx, rec, false)
			}
			unlock()
			return s.reference.Delete(ctx, id)
		}
	}},
	{"Delete is silent", "expire/deleted", func(s *twisted) {
		s.remove = func(ctx context.Context, id core.ID) (bool, error) {
			defer s.lock()()
			_, ok := s.live(id)
			delete(s.records, id)
			return ok, nil
		}
	}},
	{"one function can listen", "expire/cancel", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() {
			s.reference.listeners = map[int]func(context.Context, core.Record, bool){0: fn}
			return func() {}
		}
	}},
	{"cancel does nothing", "expire/cancel", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() {
			s.reference.NotifyExpired(fn)
			return func() {}
		}
	}},
	{"it is told under a lock", "expire/unlocked", func(s *twisted) {
		s.notify = func(fn func(context.Context, core.Record, bool)) func() {
			return s.reference.NotifyExpired(func(ctx context.Context, rec core.Record, swept bool) {
				s.mu.Lock()
				defer s.mu.Unlock()
				fn(ctx, rec, swept)
			})
		}
	}},

	{"Check finds fault with everything", "check/fit", func(s *twisted) {
		s.check = func(context.Context) error { return errNoSchema }
	}},
	{"Check tidies up", "check/fit", func(s *twisted) {
		s.check = func(ctx context.Context) error { return cmp.Or(s.reference.Drop(ctx), s.reference.Migrate(ctx)) }
	}},
	{"Check finds no fault", "migrate/drop", func(s *twisted) {
		s.check = func(context.Context) error { return nil }
	}},
	{"Migrate begins anew", "migrate/idempotent", func(s *twisted) {
		s.migrate = func(ctx context.Context) error { return cmp.Or(s.reference.Drop(ctx), s.reference.Migrate(ctx)) }
	}},
	{"Migrate does nothing", "migrate/drop migrate/together", func(s *twisted) {
		s.migrate = func(context.Context) error { return nil }
	}},
	{"Migrate is for one node at a time", "migrate/together", func(s *twisted) {
		s.migrate = func(ctx context.Context) error {
			if s.reference.Check(ctx) == nil {
				return errors.New("it exists")
			}
			return s.reference.Migrate(ctx)
		}
	}},
	{"Drop only empties", "migrate/drop", func(s *twisted) {
		s.erase = func(ctx context.Context) error {
			return cmp.Or(s.reference.Drop(ctx), s.reference.Migrate(ctx))
		}
	}},
	{"Drop wants something to drop", "migrate/drop", func(s *twisted) {
		s.erase = func(ctx context.Context) error { return cmp.Or(s.reference.Check(ctx), s.reference.Drop(ctx)) }
	}},
	{"Drop leaves the records", "migrate/drop", func(s *twisted) {
		kept := map[core.ID]core.Record{}
		s.erase = func(ctx context.Context) error {
			maps.Copy(kept, s.records)
			return s.reference.Drop(ctx)
		}
		s.migrate = func(ctx context.Context) error {
			s.records = kept
			return nil
		}
	}},
	{"without a schema there are no sessions", "migrate/drop", func(s *twisted) {
		s.load = func(ctx context.Context, id core.ID) (core.Record, error) {
			rec, err := s.reference.Load(ctx, id)
			if err != nil {
				err = core.ErrNotFound
			}
			return rec, err
		}
	}},
}

// namedCase finds a case by group/name.
func namedCase(t *testing.T, all []group, name string) testcase {
	t.Helper()
	for _, g := range all {
		for _, c := range g.cases {
			if g.name+"/"+c.name == name {
				return c
			}
		}
	}
	t.Fatalf("there is no case %q", name)
	return testcase{}
}

// wantFound checks that the cases named find a store to be broken, and say
// which promise it breaks.
func wantFound(t *testing.T, all []group, names string, f Factory) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		c := namedCase(t, all, name)
		failed, text := record(t, func(t testing.TB) { c.try(t, f) })
		if !failed {
			t.Errorf("%s passes", name)
		} else if !strings.Contains(text, c.promise) && !strings.HasPrefix(text, "panic") {
			t.Errorf("%s fails without its promise:\n%s", name, text)
		}
	}
}

// Fails if a case loses what it looks for: each entry is a mechanism removed.
func TestBroken(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 10 * glimpse
	for _, b := range brokenStores {
		t.Run(b.name, func(t *testing.T) {
			wantFound(t, groups, b.fails, func(t testing.TB, clock func() time.Time) core.Store {
				s := &twisted{reference: newReference(clock)}
				b.twist(s)
				return s
			})
		})
	}
}

// A case that no broken store fails would be a case that checks nothing.
func TestEveryCaseFindsSomething(t *testing.T) {
	var found []string
	for _, b := range brokenStores {
		found = append(found, strings.Fields(b.fails)...)
	}
	for _, b := range brokenCarriers {
		found = append(found, strings.Fields(b.fails)...)
	}
	for _, g := range slices.Concat(groups, carrierGroups) {
		for _, c := range g.cases {
			if name := g.name + "/" + c.name; !slices.Contains(found, name) {
				t.Errorf("no broken store fails %s", name)
			}
		}
	}
}
