package core

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Codec encodes single values. Each value of a session is encoded on its own,
// so that reading one never decodes another. Safe for concurrent use.
type Codec interface {
	// Format is stored with every session and must change when the encoding
	// does: a session of another format is not read, but replaced by a new
	// one. 0 to 15 are the library's own.
	Format() byte
	// Marshal encodes a value. Equal values must give equal bytes: that is
	// how a change is told from none.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes into the pointer v, and bounds what hostile bytes
	// can make it allocate.
	Unmarshal(data []byte, v any) error
}

// The codecs of the library. CBOR (RFC 8949) is compact, keeps the difference
// between integers, floats, bytes and times, and is the default. JSON is for
// stores that other programs read; its numbers are floats to an untyped Get.
var (
	CBOR Codec = newCBOR()
	JSON Codec = jsonCodec{}
)

const (
	formatCBOR = 1
	formatJSON = 2

	maxDepth    = 32    // of nested values
	maxElements = 65536 // of one slice or map
)

type jsonCodec struct{}

func (jsonCodec) Format() byte                       { return formatJSON }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// kind is what a type tells about its values.
type kind struct {
	mutable bool // a value handed out can be changed in place
	deep    bool // a value can nest without limit, or hold itself
	err     error
}

// kindOf examines a type once. Its error says why no codec could encode it.
func kindOf(t reflect.Type) kind {
	var k kind
	seen := map[reflect.Type]bool{} // true while on the path to the current type
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		if k.err != nil {
			return
		}
		if onPath, done := seen[t]; done {
			k.deep = k.deep || onPath
			return
		}
		if marshals(t) {
			k.mutable = k.mutable || !immutable(t)
			return
		}
		// JSON may ask the type too, and what that encodes is not to be seen here.
		k.mutable = k.mutable || implements(t, textMarshalers) && !immutable(t)
		seen[t] = true
		defer func() { seen[t] = false }()
		switch t.Kind() {
		case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
			k.err = fmt.Errorf("%s is a %s, which cannot be stored", path, t.Kind())
		case reflect.Interface:
			k.mutable, k.deep = true, true
			if t.NumMethod() > 0 {
				k.err = fmt.Errorf("%s is the interface %s: a stored value could not be read back into it", path, t)
			}
		case reflect.Pointer:
			k.mutable = true
			walk(t.Elem(), path)
		case reflect.Slice:
			k.mutable = true
			walk(t.Elem(), path+"[]")
		case reflect.Array:
			walk(t.Elem(), path+"[]")
		case reflect.Map:
			k.mutable = true
			walk(t.Key(), path+"[key]")
			walk(t.Elem(), path+"[]")
		case reflect.Struct:
			exported := 0
			for i := range t.NumField() {
				f := t.Field(i)
				if !f.IsExported() && !f.Anonymous {
					continue
				}
				switch inCBOR, inJSON := !omitted(f), f.Tag.Get("json") != "-"; {
				case !inCBOR && !inJSON:
					continue
				case inCBOR != inJSON: // it depends on the codec
					k.mutable, k.deep = true, true
					exported++
					continue
				}
				exported++
				walk(f.Type, path+"."+f.Name)
			}
			if exported == 0 && t.NumField() > 0 {
				k.err = fmt.Errorf("%s has no exported fields, so nothing of it would be stored", path)
			}
		}
	}
	walk(t, t.String())
	return k
}

var marshalers = []reflect.Type{
	reflect.TypeFor[cbor.Marshaler](),
	reflect.TypeFor[encoding.BinaryMarshaler](),
}

var textMarshalers = []reflect.Type{
	reflect.TypeFor[json.Marshaler](),
	reflect.TypeFor[encoding.TextMarshaler](),
}

// marshals reports whether a type encodes itself, whatever its fields are.
func marshals(t reflect.Type) bool {
	if t == reflect.TypeFor[big.Int]() { // the codecs know it
		return true
	}
	return implements(t, marshalers)
}

func implements(t reflect.Type, of []reflect.Type) bool {
	for _, m := range of {
		if t.Implements(m) || reflect.PointerTo(t).Implements(m) {
			return true
		}
	}
	return false
}

// omitted reports whether CBOR leaves a field out by its tag.
func omitted(f reflect.StructField) bool {
	tag := f.Tag.Get("cbor")
	if tag == "" {
		tag = f.Tag.Get("json")
	}
	return tag == "-"
}

// immutable knows the self-encoding types that nobody can change in place.
// Others are compared at commit, which is always right.
func immutable(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.AddrPort](), reflect.TypeFor[netip.Prefix]():
		return true
	}
	return t.Kind() <= reflect.Complex128 || t.Kind() == reflect.String
}

// tooDeep reports whether a value nests deeper than a decoder accepts, which
// includes a value that holds itself: encoding that would never end.
func tooDeep(v reflect.Value, left int) bool {
	if left == 0 {
		return true
	}
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && tooDeep(v.Elem(), left-1)
	case reflect.Interface: // no level of its own in the encoding
		return !v.IsNil() && tooDeep(v.Elem(), left)
	case reflect.Slice, reflect.Array:
		switch v.Type().Elem().Kind() {
		case reflect.Bool, reflect.String, reflect.Uint8, reflect.Int, reflect.Int64, reflect.Float64:
			return false
		}
		for i := range v.Len() {
			if tooDeep(v.Index(i), left-1) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if tooDeep(it.Value(), left-1) {
				return true
			}
		}
	case reflect.Struct:
		if marshals(v.Type()) {
			return false
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() && !f.Anonymous || omitted(f) {
				continue
			}
			if tooDeep(v.Field(i), left-1) {
				return true
			}
		}
	}
	return false
}
