package core

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func someRecords() map[string]Record {
	t0 := time.UnixMilli(1_800_000_000_123).UTC()
	id := ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	plain := Record{ID: id, Version: 1, Generation: 1, CreatedAt: t0, LastAccess: t0, ExpiresAt: t0.Add(time.Hour),
		IdleTimeout: 30 * time.Minute, Deadline: t0.Add(24 * time.Hour), Horizon: t0.Add(24 * time.Hour), Values: []byte{formatCBOR, 1, 'k', 1, 0x07}}
	full := plain
	full.Version, full.Generation = 1<<40, 300
	full.Proof[0], full.Proof[31] = 1, 2
	full.Previous[5], full.PreviousUntil = 9, t0.Add(10*time.Second)
	full.User, full.LoginAt = "naïve/ключ \x01", t0.Add(-time.Minute)
	full.Horizon, full.Requests, full.Persistent = t0.Add(400*24*time.Hour), 7, true
	full.Values = bytes.Repeat([]byte{0, 255}, 5000)
	empty := plain
	empty.Values, empty.User = []byte{}, "u"
	return map[string]Record{"plain": plain, "full": full, "empty": empty}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, rec := range someRecords() {
		data, err := rec.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back Record
		if err := back.UnmarshalBinary(data); err != nil || !reflect.DeepEqual(back, rec) {
			t.Errorf("%s: %v\n got %#+v\nwant %#+v", name, err, plainRecord(back), plainRecord(rec))
		}
		for i := range min(len(data), 150) {
			back = Record{User: "kept"}
			if err := back.UnmarshalBinary(data[:i]); err != nil && (!errors.Is(err, ErrCorrupt) || back.User != "kept") {
				t.Fatalf("%s cut at %d: %v, %v", name, i, err, back)
			}
		}
	}
}

// plainRecord is a Record without its String method.
func plainRecord(r Record) any {
	type record Record
	return record(r)
}

// The stored form is a promise to records that are already out there: a change
// needs a new format byte and a reader for the old one.
func TestRecordGolden(t *testing.T) {
	for name, rec := range someRecords() {
		if name == "full" {
			rec.Values = rec.Values[:8]
		}
		data, _ := rec.MarshalBinary()
		file := "testdata/record-1-" + name + ".hex"
		want, err := os.ReadFile(file)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			os.WriteFile(file, []byte(hex.EncodeToString(data)+"\n"), 0o644)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		stored, err := hex.DecodeString(strings.TrimSpace(string(want)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stored, data) {
			t.Errorf("%s: the stored form changed:\n got %x\nwant %x", name, data, stored)
		}
		var back Record
		if err := back.UnmarshalBinary(stored); err != nil || !reflect.DeepEqual(back, rec) {
			t.Errorf("%s: an old record reads as %v, %#v", name, err, plainRecord(back))
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, rec := range someRecords() {
		data, _ := rec.MarshalBinary()
		f.Add(data)
	}
	f.Add([]byte{recordFormat})
	f.Fuzz(func(t *testing.T, data []byte) {
		var rec Record
		if err := rec.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := rec.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back Record
		if err := back.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(back, rec) {
			t.Fatalf("%v\n got %#v\nwant %#v", err, plainRecord(back), plainRecord(rec))
		}
	})
}

func TestRecordPrintsNothing(t *testing.T) {
	rec := someRecords()["full"]
	text := fmt.Sprintf("%v %+v %#v %s", rec, rec, rec, rec) + fmt.Sprintf("%v %#v", []Record{rec}, &rec)
	if strings.Contains(text, "ключ") || strings.Contains(text, "255") || !strings.Contains(text, rec.ID.String()) {
		t.Errorf("a record prints as %q", text)
	}
}

func TestID(t *testing.T) {
	seen := map[ID]bool{}
	symbols := make([]map[byte]bool, 22)
	for range 10_000 {
		id := newID()
		s := id.String()
		if seen[id] || len(s) != 22 {
			t.Fatalf("ID %q: repeated or %d characters", s, len(s))
		}
		seen[id] = true
		for i := range 22 {
			if symbols[i] == nil {
				symbols[i] = map[byte]bool{}
			}
			if octets[s[i]]&wordOctet == 0 {
				t.Fatalf("ID %q is not fit for a file name", s)
			}
			symbols[i][s[i]] = true
		}
		if back, err := ParseID(s); err != nil || back != id {
			t.Fatalf("ParseID(%q) = %v, %v", s, back, err)
		}
	}
	for i, m := range symbols[:21] {
		if len(m) < 50 {
			t.Errorf("character %d takes only %d values", i, len(m))
		}
	}
	for _, s := range []string{"", "x", strings.Repeat("A", 21), strings.Repeat("A", 22), strings.Repeat("A", 23), strings.Repeat("/", 22),
		"AAAAAAAAAAAAAAAAAAAAAB", "AQIDBAUGBwgJCgsMDQ4P\n\n", "../../../../etc/passwd", "AQIDBAUGBwgJCgsMDQ4P=="} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v", s, id)
		}
	}
	var zero ID
	if !zero.IsZero() || zero.String() != "" {
		t.Errorf("the zero ID prints as %q", zero)
	}
	text, _ := zero.MarshalText()
	if err := zero.UnmarshalText(text); err != nil || !zero.IsZero() {
		t.Errorf("the zero ID does not survive as text: %v", err)
	}
}

// Feature B1. Fails if a part of the token is not drawn, or drawn twice.
func TestTokensDiffer(t *testing.T) {
	id := newID()
	a, b := newToken(id), newToken(id)
	ha, hb := a.hash(), b.hash()
	if a == b || a.id() != id || !a.proves(&ha) || a.proves(&hb) || b.proves(&ha) {
		t.Error("a token must prove itself and nothing else")
	}
	// Random in each of its bytes.
	var values [32]map[byte]bool
	for range 1000 {
		tok := newToken(newID())
		for i, b := range tok {
			if values[i] == nil {
				values[i] = map[byte]bool{}
			}
			values[i][b] = true
		}
	}
	for i, m := range values {
		if len(m) < 200 { // of 256, 251 are expected
			t.Errorf("byte %d of a token takes only %d values", i, len(m))
		}
	}
}
