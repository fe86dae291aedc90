package peers

import (
	"fmt"
	"strings"
)

// Content is what a session holds: texts by key, and a counter. One of the
// texts is the name that scenarios read.
type Content struct {
	Texts []Text
}

// Text is one value.
type Text struct{ Key, Value string }

const (
	nameKey  = "name"
	countKey = "count"
	userKey  = "user"

	nameText = "Augusta Ada King, Countess of Lovelace"
	userName = "user-42"
)

var (
	// Small is the usual session: 5 keys, some 200 bytes.
	Small = Content{[]Text{
		{nameKey, nameText},
		{"email", "ada.lovelace@analytical-engine.example"},
		{"locale", "en-GB, Europe/London, metric"},
		{"page", "/notes/on-the-sketch-of-the-analytical-engine/g"},
	}}
	// Middle is 2 KB in 12 keys: about what the cookie of any library holds.
	Middle = Content{many(10, 170)}
	// Large is 8 KB in 100 keys.
	Large = Content{many(98, 74)}
)

// many returns the name and n texts of a size.
func many(n, size int) []Text {
	texts := []Text{{nameKey, nameText}}
	for i := range n {
		key := fmt.Sprintf("key-%02d", i)
		texts = append(texts, Text{key, strings.Repeat(key+" ", size/7+1)[:size]})
	}
	return texts
}

// Keys returns how many keys the content has, the counter included.
func (c Content) Keys() int { return len(c.Texts) + 1 }

// Bytes returns the size of the keys and values themselves: what any library
// has to keep.
func (c Content) Bytes() int {
	n := len(countKey) + 8
	for _, t := range c.Texts {
		n += len(t.Key) + len(t.Value)
	}
	return n
}

// okay is the answer of every handler that found what it looked for.
var okay = []byte("ok")

// verdict is the answer of a handler that read the session.
func verdict(name string, count int64) []byte {
	if name != nameText || count < 0 {
		return nil
	}
	return okay
}

// display is the answer of a handler that shows the session, for checks.
func display(name string, count int64, user string) []byte {
	return fmt.Appendf(nil, "%s|%d|%s", name, count, user)
}
