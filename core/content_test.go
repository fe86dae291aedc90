package core

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"
)

// FuzzContent runs a script of changes against a plain map.
func FuzzContent(f *testing.F) {
	f.Add([]byte("\x01a1\x01b2\x02a\x03\x01c3\x01a9"))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte("\x01k\xff"), 40))
	f.Fuzz(func(t *testing.T, script []byte) {
		var c content
		model := map[string]string{}
		next := func() (b byte, ok bool) {
			if len(script) == 0 {
				return 0, false
			}
			b, script = script[0], script[1:]
			return b, true
		}
		var cs changes
		for {
			op, ok := next()
			if !ok {
				break
			}
			k, _ := next()
			v, _ := next()
			name := string(bytes.Repeat([]byte{k%16 + 'a'}, int(k)%5*40+1))
			switch op % 4 {
			case 0, 1:
				data := bytes.Repeat([]byte{v}, int(v))
				cs.put(change{name: name, data: data})
				model[name] = string(data)
			case 2:
				cs.put(change{name: name, gone: true})
				delete(model, name)
			case 3: // commit, as one request after another would
				merged := map[string]string{}
				for n, v := range c.merge(cs) {
					merged[string(n)] = string(v)
				}
				if !maps.Equal(merged, model) {
					t.Fatalf("merge gives %v, want %v", merged, model)
				}
				after := c.apply(cs, formatCBOR)
				if c.alters(cs) == bytes.Equal(after, c) {
					t.Fatalf("alters says %v for %q -> %q", c.alters(cs), c, after)
				}
				c, cs = after, nil
				compareContent(t, c, model)
			}
		}
		compareContent(t, c.apply(cs, formatCBOR), model)
	})
}

func compareContent(t *testing.T, c content, model map[string]string) {
	t.Helper()
	if err := c.check(formatCBOR); err != nil {
		t.Fatalf("%q: %v", c, err)
	}
	if c.len() != len(model) || len(model) == 0 && len(c) != 0 {
		t.Fatalf("%d entries in %d bytes, want %d", c.len(), len(c), len(model))
	}
	names := []string{}
	for n, v := range c.entries() {
		names = append(names, string(n))
		if want, ok := model[string(n)]; !ok || want != string(v) {
			t.Fatalf("%q = %q, want %q, %v", n, v, want, ok)
		}
	}
	if !slices.IsSorted(names) {
		t.Fatalf("out of order: %q", names)
	}
	for n, want := range model {
		if v, ok := c.find(n); !ok || string(v) != want {
			t.Fatalf("find %q = %q, %v", n, v, ok)
		}
	}
	if _, ok := c.find("no such name"); ok {
		t.Fatal("found what is not there")
	}
}

// FuzzContentCheck: whatever passes check can be walked and changed; whatever
// does not is ErrCorrupt.
func FuzzContentCheck(f *testing.F) {
	good := content(nil).apply(changes{{name: "a", data: []byte("1")}, {name: "b", data: bytes.Repeat([]byte("x"), 300)}}, formatCBOR)
	f.Add([]byte(good))
	f.Add([]byte{})
	f.Add([]byte{formatCBOR})
	f.Add([]byte{formatCBOR, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{formatJSON, 1, 'a', 1, '1'})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := content(data)
		// The values of a store that is ProcessLocal are not checked, so
		// nothing may come of it if one breaks its word.
		cs := changes{{name: "a", gone: true}, {name: "b", data: []byte("2")}, {name: "zz", data: []byte("v")}}
		c.find("b")
		c.alters(cs)
		c.apply(cs, formatCBOR).len()
		for range c.merge(cs) {
		}
		if err := c.check(formatCBOR); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		n := c.len()
		if n < 1<<16 && c.apply(changes{{name: "zz", data: []byte("v")}}, formatCBOR).len() < n {
			t.Fatal("a change lost entries")
		}
	})
}
