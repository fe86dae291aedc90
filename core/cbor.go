package core

import (
	"encoding/binary"
	"math"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

type cborCodec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCBOR() cborCodec {
	enc, err := cbor.EncOptions{
		Sort:          cbor.SortBytewiseLexical, // maps in one order, or equal maps would differ
		Time:          cbor.TimeRFC3339Nano,
		TimeTag:       cbor.EncTagRequired,
		NilContainers: cbor.NilContainerAsNull,
	}.EncMode()
	if err != nil {
		panic(err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		UTF8:             cbor.UTF8DecodeInvalid, // a string of Go may hold any bytes, and the encoder passes them
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxElements,
		MaxMapPairs:      maxElements,
		IndefLength:      cbor.IndefLengthForbidden,
		IntDec:           cbor.IntDecConvertSignedOrFail,
		DefaultMapType:   reflect.TypeFor[map[string]any](),
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return cborCodec{enc, dec}
}

func (cborCodec) Format() byte { return formatCBOR }

func (c cborCodec) Marshal(v any) ([]byte, error) {
	if data, ok := encodeScalar(v); ok {
		return data, nil
	}
	return c.enc.Marshal(v)
}

func (c cborCodec) Unmarshal(data []byte, v any) error {
	if decodeScalar(data, v) {
		return nil
	}
	return c.dec.Unmarshal(data, v)
}

// Most values are strings, integers and booleans, whose encoding is a head and
// what follows: encodeScalar and decodeScalar spare them reflection and a
// pass over the data beforehand, and do not let their argument escape. What
// they do not know, or what is malformed, they leave to the library.

// Major types of CBOR, the upper three bits of the first byte.
const (
	cborUint = 0 << 5
	cborNint = 1 << 5
	cborText = 3 << 5

	cborFalse = 0xf4
	cborTrue  = 0xf5
)

// encodeScalar encodes a scalar as the library does. ok is false for others.
func encodeScalar(v any) (data []byte, ok bool) {
	switch v := v.(type) {
	case string:
		data = make([]byte, 0, headLen(uint64(len(v)))+len(v))
		return append(appendHead(data, cborText, uint64(len(v))), v...), true
	case bool:
		if v {
			return []byte{cborTrue}, true
		}
		return []byte{cborFalse}, true
	case int:
		return encodeInt(int64(v)), true
	case int64:
		return encodeInt(v), true
	}
	return nil, false
}

func encodeInt(v int64) []byte {
	major, n := byte(cborUint), uint64(v)
	if v < 0 {
		major, n = cborNint, ^n // -1 - v
	}
	return appendHead(make([]byte, 0, headLen(n)), major, n)
}

// headLen is the length of the shortest head with an argument, the only one
// that is written.
func headLen(n uint64) int {
	switch {
	case n < 24:
		return 1
	case n <= math.MaxUint8:
		return 2
	case n <= math.MaxUint16:
		return 3
	case n <= math.MaxUint32:
		return 5
	}
	return 9
}

func appendHead(b []byte, major byte, n uint64) []byte {
	switch headLen(n) {
	case 1:
		return append(b, major|byte(n))
	case 2:
		return append(b, major|24, byte(n))
	case 3:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case 5:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// cutHead splits the head off. Longer heads than needed are read, as the
// library reads them.
func cutHead(data []byte) (major byte, n uint64, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, 0, nil, false
	}
	major, n, rest = data[0]&0xe0, uint64(data[0]&0x1f), data[1:]
	switch {
	case n < 24:
		return major, n, rest, true
	case n == 24 && len(rest) >= 1:
		return major, uint64(rest[0]), rest[1:], true
	case n == 25 && len(rest) >= 2:
		return major, uint64(binary.BigEndian.Uint16(rest)), rest[2:], true
	case n == 26 && len(rest) >= 4:
		return major, uint64(binary.BigEndian.Uint32(rest)), rest[4:], true
	case n == 27 && len(rest) >= 8:
		return major, binary.BigEndian.Uint64(rest), rest[8:], true
	}
	return 0, 0, nil, false
}

// decodeScalar decodes into a pointer to a scalar, or to an interface, what the
// library would accept for it. ok is false for anything else, and into is as it
// was.
func decodeScalar(data []byte, into any) (ok bool) {
	switch into := into.(type) {
	case *string:
		var text []byte
		if text, ok = textOf(data); ok {
			*into = string(text)
		}
	case *bool:
		var b bool
		if b, ok = boolOf(data); ok {
			*into = b
		}
	case *int64:
		var n int64
		if n, ok = intOf(data); ok {
			*into = n
		}
	case *int:
		var n int64
		if n, ok = intOf(data); ok && int64(int(n)) == n {
			*into = int(n)
			return true
		}
		return false
	case *any:
		if text, ok := textOf(data); ok {
			*into = string(text)
			return true
		}
		if n, ok := intOf(data); ok {
			*into = n
			return true
		}
		if b, ok := boolOf(data); ok {
			*into = b
			return true
		}
	}
	return ok
}

func textOf(data []byte) ([]byte, bool) {
	major, n, rest, ok := cutHead(data)
	return rest, ok && major == cborText && n == uint64(len(rest))
}

func intOf(data []byte) (int64, bool) {
	major, n, rest, ok := cutHead(data)
	if !ok || len(rest) > 0 || n > math.MaxInt64 {
		return 0, false
	}
	switch major {
	case cborUint:
		return int64(n), true
	case cborNint:
		return int64(^n), true
	}
	return 0, false
}

func boolOf(data []byte) (value, ok bool) {
	ok = len(data) == 1 && (data[0] == cborTrue || data[0] == cborFalse)
	return ok && data[0] == cborTrue, ok
}
