package core

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// scalars are the types that are encoded without the library, with values at
// the edges of every length of a head.
func scalars() (vs []any) {
	for _, n := range []int64{0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64} {
		vs = append(vs, n, -n, -n-1, int(n), int(-n))
		if n < 1<<17 {
			vs = append(vs, strings.Repeat("x", int(n)))
		}
	}
	return append(vs, true, false, "ü", "\xff", "a\x00b", "\xed\xa0\x80", uint64(math.MaxUint64), int32(-5), 1.5, nil, []byte("b"), []string{"a"}, struct{ A int }{1})
}

// Fails if what is encoded without the library differs from what it writes.
func TestScalarBytes(t *testing.T) {
	lib := newCBOR()
	check := func(v any) {
		t.Helper()
		want, err := lib.enc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := CBOR.Marshal(v); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%T %v: %x, err %v; the library writes %x", v, v, got, err, want)
		}
	}
	for _, v := range scalars() {
		check(v)
	}
	for range 20000 {
		check(int64(rand.Uint64()) >> rand.UintN(64))
	}
}

// targets are fresh values to decode into.
var targets = []func() any{
	func() any { return new(string) },
	func() any { return new(bool) },
	func() any { return new(int64) },
	func() any { return new(int) },
	func() any { return new(any) },
	func() any { v := any("taken"); return &v },
	func() any { v := any(new(int64)); return &v },
	func() any { return new(uint8) },
	func() any { return new(float64) },
	func() any { return new([]byte) },
	func() any { return new(*string) },
}

// FuzzScalar holds the short way against the library: the same values
// accepted and refused, and the same result, whatever is decoded into.
func FuzzScalar(f *testing.F) {
	lib := newCBOR()
	for _, v := range scalars() {
		if data, err := lib.enc.Marshal(v); err == nil && len(data) < 300 {
			f.Add(data)
			f.Add(data[:len(data)-1])
			f.Add(append(bytes.Clone(data), 0))
		}
	}
	for _, s := range []string{"", "1800", "190000", "1a00000000", "1b0000000000000000", "1bffffffffffffffff", "1b8000000000000000", "3bffffffffffffffff", "3b8000000000000000",
		"3b7fffffffffffffff", "3800", "7800", "7801", "780161", "79000161", "7a0000000161", "7b000000000000000161", "7bffffffffffffffff61", "7f61616161ff", "7f616161ff", "6161", "61ff", "62c3bc",
		"63eda080", "1c", "1d", "1e", "1f", "3c", "7c", "f4", "f5", "f6", "f7", "f8f4", "f818", "fb3ff8000000000000", "fb3ff0000000000000", "f93c00", "c1616161", "c2420100", "d9d9f76161", "a0", "80", "4161"} {
		data, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, target := range targets {
			want, got := target(), target()
			wantErr, gotErr := lib.dec.Unmarshal(data, want), CBOR.Unmarshal(data, got)
			if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !alike(got, want) {
				t.Fatalf("%x into %T: %v, err %v; the library %v, err %v", data, got, reflect.ValueOf(got).Elem(), gotErr, reflect.ValueOf(want).Elem(), wantErr)
			}
		}
	})
}

// alike is DeepEqual, for NaN too.
func alike(a, b any) bool {
	return reflect.DeepEqual(a, b) || fmt.Sprintf("%#v", reflect.ValueOf(a).Elem()) == fmt.Sprintf("%#v", reflect.ValueOf(b).Elem())
}

func BenchmarkScalar(b *testing.B) {
	text, _ := CBOR.Marshal("forty bytes of text, more or less, here")
	b.Run("decode-string", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var s string
			if CBOR.Unmarshal(text, &s) != nil {
				b.Fatal()
			}
		}
	})
	b.Run("encode-int", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := CBOR.Marshal(int64(100000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
