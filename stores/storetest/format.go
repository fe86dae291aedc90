package storetest

import (
	"embed"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// testdata holds, in hex, the stored form that the version of the library
// which first had a golden record gave it.
//
//go:embed testdata/*.hex
var testdata embed.FS

// golden is a record that every version of the library must read. Goldens are
// added, never changed.
type golden struct {
	name   string
	record core.Record
}

// stored returns the golden's stored form.
func (g golden) stored(t testing.TB) []byte {
	t.Helper()
	text, err := testdata.ReadFile("testdata/" + g.name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("testdata/%s.hex: %v", g.name, err)
	}
	return data
}

// goldenEpoch is when the golden records were last used.
var goldenEpoch = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

var goldens = []golden{
	{"anonymous", core.Record{
		ID: mustParse("AAAAAAAAAAAAAAAAAAAAAQ"), Version: 1, Generation: 1,
		Proof:     [32]byte{0: 1, 31: 0xff},
		CreatedAt: goldenEpoch, LastAccess: goldenEpoch,
		ExpiresAt: goldenEpoch.Add(30 * time.Minute), IdleTimeout: 30 * time.Minute,
		Deadline: goldenEpoch.Add(24 * time.Hour), Horizon: goldenEpoch.Add(24 * time.Hour),
		Values: []byte{1, 1, 5, 'v', 'i', 's', 'i', 't', 1},
	}},
	{"everything", core.Record{
		ID: mustParse("__________-_________-w"), Version: 7, Generation: 3,
		Proof: [32]byte{0xa1, 0xa2, 0xa3}, Previous: [32]byte{0xb1, 0xb2, 0xb3}, PreviousUntil: goldenEpoch.Add(20*time.Second + 21*time.Millisecond),
		User:      "Grüße, 日本語",
		CreatedAt: goldenEpoch.Add(-5 * time.Hour), LoginAt: goldenEpoch.Add(-4*time.Hour - 1*time.Millisecond), LastAccess: goldenEpoch,
		ExpiresAt: goldenEpoch.Add(time.Hour), IdleTimeout: time.Hour + 7*time.Millisecond,
		Deadline: goldenEpoch.Add(20 * time.Hour), Horizon: goldenEpoch.Add(400 * 24 * time.Hour),
		Persistent: true, Requests: 12345,
		Values: []byte("\x00\x01\x7f\x80\xfe\xff opaque"),
	}},
	{"carried", core.Record{
		ID: mustParse("q83vASNFZ4mrze8BI0VniQ"), Version: 2, Generation: 1,
		User:      "user-42",
		CreatedAt: goldenEpoch.Add(-time.Minute), LoginAt: goldenEpoch.Add(-time.Second), LastAccess: goldenEpoch,
		ExpiresAt: goldenEpoch.Add(30 * time.Minute), IdleTimeout: 30 * time.Minute,
		Deadline: goldenEpoch.Add(24 * time.Hour), Horizon: goldenEpoch.Add(24*time.Hour + time.Minute),
		Values: []byte("carried"),
	}},
	{"empty", core.Record{
		ID: mustParse("gAAAAAAAAAAAAAAAAAAAAA"), Version: 1, Generation: 1,
		CreatedAt: goldenEpoch, ExpiresAt: goldenEpoch.Add(time.Hour),
	}},
	{"extremes", core.Record{
		ID: mustParse("_____________________w"), Version: math.MaxUint64, Generation: math.MaxUint64,
		User:      strings.Repeat("x", 255),
		CreatedAt: goldenEpoch, LoginAt: goldenEpoch.Add(-400 * 24 * time.Hour), LastAccess: goldenEpoch.Add(-400 * 24 * time.Hour),
		ExpiresAt: goldenEpoch.Add(400 * 24 * time.Hour), IdleTimeout: core.MaxLifetime,
		Deadline: goldenEpoch.Add(400 * 24 * time.Hour),
		Requests: math.MaxUint64,
	}},
}

// usedAt returns the record with all its times moved, so that it was last used
// at the given one.
func usedAt(r core.Record, now time.Time) core.Record {
	by := now.Sub(goldenEpoch)
	for _, at := range []*time.Time{&r.PreviousUntil, &r.CreatedAt, &r.LoginAt, &r.LastAccess, &r.ExpiresAt, &r.Deadline, &r.Horizon} {
		if !at.IsZero() {
			*at = at.Add(by)
		}
	}
	return r
}

// format are the cases about what other versions of the library stored.
var format = []testcase{
	{"golden", "A record that one version of the library stored, a store of the next keeps as it is.", func(t *trial) {
		for _, g := range goldens {
			var rec core.Record
			if err := rec.UnmarshalBinary(g.stored(t)); err != nil {
				t.Fatalf("record %s: UnmarshalBinary: %v", g.name, err)
			}
			if d := diff(rec, g.record); d != "" {
				t.Errorf("record %s: the stored form is read wrong: %s", g.name, d)
			}
			rec = usedAt(rec, t.clock.now())
			rec.Version = 1
			rec.Requests = min(rec.Requests, math.MaxInt64) // what a signed column holds
			rec.Generation = min(rec.Generation, math.MaxInt64)
			t.create(rec)
			t.wantStored("record "+g.name, rec)
			t.wantStored("record "+g.name+", updated", t.update(rec))
		}
	}},
}
