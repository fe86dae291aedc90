package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// content is the encoded content of a session: a byte that names the codec,
// then entries in ascending order of their names, each
//
//	uvarint length, name, uvarint length, encoded value
//
// A key is found by skipping over the others, without decoding any; a change
// copies the bytes of the rest. It is immutable.
type content []byte

const (
	// maxKeys bounds the entries of one session.
	maxKeys = 4096
	// maxKeyLen bounds a key, in bytes.
	maxKeyLen = 512
	// maxNamespaceLen is PythonWeb's rule: 1 to 255 of [A-Za-z0-9._-].
	maxNamespaceLen = 255
	// nsMark starts the names of entries in a namespace. Keys are valid
	// UTF-8, so no key can look like one.
	nsMark = "\xff"
)

// check reports whether c is well-formed and was written by the codec.
func (c content) check(codec byte) error {
	if len(c) == 0 {
		return nil
	}
	if c[0] != codec {
		return fmt.Errorf("%w: values of another codec or version", ErrCorrupt)
	}
	last := []byte(nil)
	for rest := []byte(c[1:]); len(rest) > 0; {
		name, _, tail, ok := cutEntry(rest)
		if !ok || last != nil && bytes.Compare(last, name) >= 0 {
			return fmt.Errorf("%w: values cut short or out of order", ErrCorrupt)
		}
		last, rest = name, tail
	}
	return nil
}

// cutEntry splits the first entry off.
func cutEntry(b []byte) (name, value, rest []byte, ok bool) {
	if name, b, ok = cutBytes(b); !ok {
		return nil, nil, nil, false
	}
	if value, b, ok = cutBytes(b); !ok {
		return nil, nil, nil, false
	}
	return name, value, b, true
}

func cutBytes(b []byte) (field, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 { // almost every length is one byte
		n := int(b[0])
		if n > len(b)-1 {
			return nil, nil, false
		}
		return b[1 : 1+n], b[1+n:], true
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

// find returns the encoded value of an entry. The content has been checked.
func (c content) find(name string) ([]byte, bool) {
	if len(c) == 0 {
		return nil, false
	}
	for rest := []byte(c[1:]); len(rest) > 0; {
		n, v, tail, ok := cutEntry(rest)
		if !ok || string(n) > name {
			return nil, false
		}
		if string(n) == name {
			return v, true
		}
		rest = tail
	}
	return nil, false
}

// entries yields names and encoded values in order.
func (c content) entries() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		if len(c) == 0 {
			return
		}
		for rest := []byte(c[1:]); len(rest) > 0; {
			n, v, tail, ok := cutEntry(rest)
			if !ok || !yield(n, v) {
				return
			}
			rest = tail
		}
	}
}

// len returns the number of entries.
func (c content) len() (n int) {
	for range c.entries() {
		n++
	}
	return n
}

// change is one entry as this request wants it. gone means deleted.
type change struct {
	name string
	data []byte
	gone bool
}

// changes are sorted by name, one per name.
type changes []change

func (cs changes) search(name string) (int, bool) {
	return slices.BinarySearchFunc(cs, name, func(c change, name string) int { return strings.Compare(c.name, name) })
}

func (cs *changes) put(ch change) {
	i, found := cs.search(ch.name)
	if found {
		(*cs)[i] = ch
		return
	}
	*cs = slices.Insert(*cs, i, ch)
}

// merge walks base and changes together and yields what holds afterwards.
func (c content) merge(cs changes) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		i := 0
		for n, v := range c.entries() {
			for ; i < len(cs) && cs[i].name < string(n); i++ {
				if !cs[i].gone && !yield([]byte(cs[i].name), cs[i].data) {
					return
				}
			}
			if i < len(cs) && cs[i].name == string(n) {
				ch := cs[i]
				i++
				if ch.gone {
					continue
				}
				v = ch.data
			}
			if !yield(n, v) {
				return
			}
		}
		for ; i < len(cs); i++ {
			if !cs[i].gone && !yield([]byte(cs[i].name), cs[i].data) {
				return
			}
		}
	}
}

// alters reports whether applying the changes gives other content.
func (c content) alters(cs changes) bool {
	for _, ch := range cs {
		v, had := c.find(ch.name)
		if ch.gone && had || !ch.gone && (!had || !bytes.Equal(v, ch.data)) {
			return true
		}
	}
	return false
}

// apply returns new content. Empty content has no bytes at all.
func (c content) apply(cs changes, codec byte) content {
	if len(cs) == 0 {
		return c
	}
	size := len(c) + 1
	for _, ch := range cs {
		size += len(ch.name) + len(ch.data) + 2*binary.MaxVarintLen32
	}
	out := make([]byte, 1, size)
	out[0] = codec
	// The same walk as merge, copying unchanged runs whole.
	rest := []byte(c)
	if len(rest) > 0 {
		rest = rest[1:]
	}
	for _, ch := range cs {
		start := rest
		for len(rest) > 0 {
			n, _, tail, ok := cutEntry(rest)
			if !ok || string(n) >= ch.name {
				out = append(out, start[:len(start)-len(rest)]...)
				start = rest
				if ok && string(n) == ch.name {
					rest = tail
					start = tail
				}
				break
			}
			rest = tail
		}
		out = append(out, start[:len(start)-len(rest)]...)
		if !ch.gone {
			out = binary.AppendUvarint(out, uint64(len(ch.name)))
			out = append(out, ch.name...)
			out = binary.AppendUvarint(out, uint64(len(ch.data)))
			out = append(out, ch.data...)
		}
	}
	out = append(out, rest...)
	if len(out) == 1 {
		return nil
	}
	return out
}
