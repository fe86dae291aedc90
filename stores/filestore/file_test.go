package filestore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

func goldenRecord() core.Record {
	at := time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)
	r := core.Record{
		ID:          core.ID{0: 0xab, 15: 0xcd},
		Version:     3,
		Generation:  2,
		User:        "ann",
		CreatedAt:   at,
		LoginAt:     at.Add(time.Second),
		LastAccess:  at.Add(2 * time.Second),
		ExpiresAt:   at.Add(time.Hour),
		IdleTimeout: time.Hour,
		Deadline:    at.Add(24 * time.Hour),
		Horizon:     at.Add(24 * time.Hour),
		Values:      []byte("values"),
	}
	r.Proof[0] = 0xee
	return r
}

// Files of this version must be read by every later one. Fails when the format
// changes: then the magic must change too, and both be read.
func TestFormatIsStable(t *testing.T) {
	want, err := os.ReadFile("testdata/record")
	if err != nil {
		t.Fatal(err)
	}
	r := goldenRecord()
	got, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("a record's file is\n%swant\n%s", hex.Dump(got), hex.Dump(want))
	}
	back, err := decode(want, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Errorf("the file reads as %#v of version %d, want version %d and equal fields", back, back.Version, r.Version)
	}
}

// Fails without the checksum, for one.
func TestDamageIsFound(t *testing.T) {
	r := goldenRecord()
	data, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, n int, data []byte) {
		t.Helper()
		if _, err := decode(data, r.ID); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("%s %d: %v, want core.ErrCorrupt", what, n, err)
		}
	}
	for n := range len(data) {
		check("cut short to", n, data[:n])
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[n] ^= 1 << bit
			check("a flipped bit in byte", n, bad)
		}
		zeros := bytes.Clone(data)
		clear(zeros[n:])
		if !bytes.Equal(zeros, data) {
			check("zeros from byte", n, zeros)
		}
	}
	check("a byte too many", 0, append(bytes.Clone(data), 0))
	if _, err := decode(data, core.ID{1}); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("the file of another ID: %v, want core.ErrCorrupt", err)
	}
}

// A record that could not be read back must not replace one that can. Fails
// without the decode in encode, and without the check of its size.
func TestUnreadableIsNotWritten(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	r := f.create(s, "")
	for what, spoil := range map[string]func(*core.Record){
		"a time beyond all bounds": func(r *core.Record) { r.Deadline = r.CreatedAt.AddDate(500, 0, 0) },
		"a limit beyond all":       func(r *core.Record) { r.IdleTimeout = 10 * core.MaxLifetime },
		"a negative limit":         func(r *core.Record) { r.IdleTimeout = -time.Hour },
		"too many bytes":           func(r *core.Record) { r.Values = make([]byte, maxFile) },
	} {
		bad := r
		bad.Version++
		spoil(&bad)
		if err := s.Update(f.ctx, bad); err == nil || errors.Is(err, core.ErrCorrupt) || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Update with %s: %v, want a failure", what, err)
		}
		f.wantVersion(s, r.ID, 1)
	}
	if err := s.Create(f.ctx, core.Record{Version: 1, ExpiresAt: f.clock.Now().Add(time.Hour)}); err == nil {
		t.Error("Create without an ID succeeded")
	}
}

func FuzzDecode(f *testing.F) {
	r := goldenRecord()
	data, err := encode(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:headerSize])
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := decode(data, r.ID)
		if err != nil {
			if !errors.Is(err, core.ErrCorrupt) {
				t.Fatalf("error %v does not wrap core.ErrCorrupt", err)
			}
			// The checksum keeps most input from the rest: let it in.
			if len(data) < headerSize {
				return
			}
			data = append([]byte(magic), data[len(magic):]...)
			binary.BigEndian.PutUint32(data[len(magic):], checksum(data))
			if rec, err = decode(data, r.ID); err != nil {
				if !errors.Is(err, core.ErrCorrupt) {
					t.Fatalf("error %v does not wrap core.ErrCorrupt", err)
				}
				return
			}
		}
		again, err := encode(rec)
		if err != nil {
			t.Fatalf("a record that was read cannot be written: %v", err)
		}
		if back, err := decode(again, r.ID); err != nil || !reflect.DeepEqual(back, rec) {
			t.Fatalf("written and read again: %v, error %v", back, err)
		}
	})
}
