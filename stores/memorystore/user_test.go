package memorystore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/coatcheck/sessions/core"
)

func (f *fixture) sessionsOf(user string) (ids []core.ID) {
	f.t.Helper()
	recs, err := f.ListUser(f.ctx, user)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, rec := range recs {
		if rec.User != user {
			f.t.Errorf("ListUser(%q) returned a session of %q", user, rec.User)
		}
		ids = append(ids, rec.ID)
	}
	slices.SortFunc(ids, func(a, b core.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func TestListUser(t *testing.T) {
	f := newFixture(t, Config{})
	login := func(i int, user string) {
		if err := f.grow(i, 10, user); err != nil {
			t.Fatal(err)
		}
	}
	want := func(user string, sessions ...int) {
		t.Helper()
		var ids []core.ID
		for _, i := range sessions {
			ids = append(ids, makeID(i))
		}
		slices.SortFunc(ids, func(a, b core.ID) int { return slices.Compare(a[:], b[:]) })
		if got := f.sessionsOf(user); !slices.Equal(got, ids) {
			t.Errorf("%q has %v, want %v", user, got, ids)
		}
	}
	for i := range 4 {
		f.create(i, "")
	}
	want("ann")
	want("")
	login(0, "ann")
	login(1, "ann")
	login(2, "ann")
	login(3, "bob")
	want("ann", 0, 1, 2)
	login(1, "bob") // from the middle of the chain
	want("ann", 0, 2)
	want("bob", 1, 3)
	f.Delete(f.ctx, makeID(2)) // its start
	f.DeleteVersion(f.ctx, makeID(0), 2)
	want("ann")
	login(1, "")
	want("bob", 3)
	f.Delete(f.ctx, makeID(3))
	if f.users.first != nil || f.users.blocks != nil {
		t.Error("the index keeps memory although nobody is logged in")
	}
}

// Fails if an entry keeps the string that it was given.
func TestUserNameIsCopied(t *testing.T) {
	f := newFixture(t, Config{})
	body := "ann and a body of many megabytes"
	rec := f.create(1, body[:3])
	got, _ := f.Load(f.ctx, rec.ID)
	if got.User != "ann" || unsafe.StringData(got.User) == unsafe.StringData(body) {
		t.Error("the user's name keeps the text alive that it was cut from")
	}
}

// "Log out everywhere" must miss no session whose login has returned, whatever
// others do. Fails if the index is updated after the shard's lock is released.
func TestListUserUnderConcurrency(t *testing.T) {
	f := newFixture(t, Config{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 2))
			user := fmt.Sprint("user", w%2)
			has := map[core.ID]bool{}
			for i := range 500 {
				rec := f.rec(w*1000+i, "")
				if err := f.Create(f.ctx, rec); err != nil {
					t.Error(err)
				}
				rec.Version, rec.User = 2, user
				if err := f.Update(f.ctx, rec); err != nil {
					t.Error(err)
				}
				has[rec.ID] = true
				if r.IntN(3) > 0 {
					for id := range has {
						f.Delete(f.ctx, id)
						delete(has, id)
						break
					}
				}
				if i%20 != 0 {
					continue
				}
				// Others work on sessions of the same user.
				got := f.sessionsOf(user)
				for id := range has {
					if !slices.Contains(got, id) {
						t.Errorf("%v is missing", id)
					}
				}
			}
		})
	}
	wg.Wait()
}
