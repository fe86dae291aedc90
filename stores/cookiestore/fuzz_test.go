package cookiestore_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// Whatever the bytes: Unpack answers core.ErrCorrupt, or gives a record that
// Pack and Unpack keep as it is.
func FuzzUnpack(f *testing.F) {
	ctx := context.Background()
	store := cookiestore.New(cookiestore.Config{})
	now := newClock().Now()
	rec := core.Record{ID: core.ID{1}, Version: 1, Generation: 1, CreatedAt: now, LastAccess: now,
		ExpiresAt: now.Add(30 * time.Minute), IdleTimeout: 30 * time.Minute, Deadline: now.Add(24 * time.Hour), Horizon: now.Add(24 * time.Hour)}
	add := func() {
		data, err := store.Pack(rec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add()
	rec.Values, rec.User, rec.LoginAt = []byte{1, 1, 'k', 1, 7}, "user-42", now.Add(time.Minute)
	add()
	rec.Persistent, rec.Requests, rec.Horizon, rec.Generation, rec.Version = true, 9, now.Add(400*24*time.Hour), 1<<40, 1<<63
	add()
	rec.Proof[0], rec.Previous[31], rec.PreviousUntil = 1, 1, now
	add()
	rec.Generation = 0
	add()
	rec.Generation, rec.Version = 1, 0
	add()
	f.Add([]byte(nil))
	f.Add([]byte{1})
	f.Add([]byte("MTc5NTIzNDQ3MXxCTTJvNUwzWjc2M2FP"))

	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		rec, err := store.Unpack(ctx, data)
		if !bytes.Equal(data, given) {
			t.Fatal("Unpack changed what it was given")
		}
		if err != nil {
			if !errors.Is(err, core.ErrCorrupt) || rec.String() != (core.Record{}).String() {
				t.Fatalf("%v, beside %v", err, rec)
			}
			return
		}
		if rec.ID.IsZero() || rec.Version == 0 || rec.Generation == 0 {
			t.Fatalf("a record without a name or version: %v", rec)
		}
		packed, err := store.Pack(rec)
		if err != nil {
			t.Fatal(err)
		}
		back, err := store.Unpack(ctx, packed)
		if err != nil || !reflect.DeepEqual(back, rec) {
			t.Fatalf("%v: packed again it is another record", err)
		}
	})
}
