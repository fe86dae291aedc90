package redisstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// envelope is a record with what the scripts must see of it without reading
// it, and what a Touch changes. Its stored form, numbers big-endian and times
// in milliseconds since 1970:
//
//	byte  form: 1, or 2 if the session has a user
//	[8]   Version
//	[8]   LastAccess, which overrides that of the record
//	[8]   ExpiresAt, likewise
//	[32]  mark, in form 2: [8] until, [8] stamp, [16] user
//	rest  the record in its own stored form
//	[4]   CRC-32C of that
type envelope struct {
	rec  core.Record
	mark mark // zero without a user
}

const (
	formPlain, formMarked = 1, 2
	headLen, markLen      = 1 + 3*8, 2*8 + tagLen
	tagLen, sumLen        = 16, 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mark is what a record knows of its entry in the list of its user.
type mark struct {
	// until is the score of the entry: the session ends by then.
	until time.Time
	// stamp tells the entry from all others of this session. In an Update,
	// zero stands for the entry that the stored record has.
	stamp stamp
	// user names the list.
	user tag
}

// tag stands for a user in keys and marks, so that names have no limit and the
// server's keys do not tell them.
type tag [tagLen]byte

func tagOf(user string) tag {
	sum := sha256.Sum256([]byte(user))
	return tag(sum[:tagLen])
}

// lastsUntil is the latest time that touches can prolong a record to.
func lastsUntil(rec core.Record) time.Time {
	if rec.Deadline.After(rec.ExpiresAt) {
		return rec.Deadline
	}
	return rec.ExpiresAt
}

func (e *envelope) expired(now time.Time) bool { return !now.Before(e.rec.ExpiresAt) }

// seal returns the stored form of a record, as an argument of a command.
func seal(rec core.Record, m mark) string {
	b := make([]byte, 0, headLen+markLen+sumLen+192+len(rec.User)+len(rec.Values))
	form := byte(formPlain)
	if rec.User != "" {
		form = formMarked
	}
	b = append(b, form)
	b = binary.BigEndian.AppendUint64(b, rec.Version)
	b = appendTime(b, rec.LastAccess)
	b = appendTime(b, rec.ExpiresAt)
	if rec.User != "" {
		b = m.append(b)
	}
	start := len(b)
	b, _ = rec.AppendBinary(b)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return rueidis.BinaryString(b)
}

// parse reads the stored form. Anything else is core.ErrCorrupt. The record
// shares memory with data.
func parse(id core.ID, data []byte) (envelope, error) {
	var e envelope
	if len(data) < headLen+sumLen {
		return envelope{}, fmt.Errorf("%w: envelope cut short", core.ErrCorrupt)
	}
	head, rest := data[:headLen], data[headLen:]
	switch {
	case head[0] == formMarked && len(rest) >= markLen+sumLen:
		e.mark.read(rest)
		rest = rest[markLen:]
	case head[0] != formPlain:
		return envelope{}, fmt.Errorf("%w: unknown envelope", core.ErrCorrupt)
	}
	rest, sum := rest[:len(rest)-sumLen], rest[len(rest)-sumLen:]
	if crc32.Checksum(rest, castagnoli) != binary.BigEndian.Uint32(sum) {
		return envelope{}, fmt.Errorf("%w: wrong checksum", core.ErrCorrupt)
	}
	if err := e.rec.UnmarshalBinary(rest); err != nil {
		return envelope{}, err
	}
	if e.rec.ID != id || e.rec.Version != binary.BigEndian.Uint64(head[1:]) || (e.rec.User != "") != (head[0] == formMarked) {
		return envelope{}, fmt.Errorf("%w: the envelope is of another record", core.ErrCorrupt)
	}
	e.rec.LastAccess = readTime(head[9:])
	e.rec.ExpiresAt = readTime(head[17:])
	return e, nil
}

func (m mark) append(b []byte) []byte {
	b = appendTime(b, m.until)
	b = binary.BigEndian.AppendUint64(b, uint64(m.stamp))
	return append(b, m.user[:]...)
}

func (m *mark) read(b []byte) {
	m.until = readTime(b)
	m.stamp = stamp(binary.BigEndian.Uint64(b[8:]))
	m.user = tag(b[16:markLen])
}

// bytes is the stored form of a mark, or "" for that of no entry.
func (m mark) bytes() string {
	if m.stamp == 0 {
		return ""
	}
	return rueidis.BinaryString(m.append(nil))
}

// parseMark reads a mark in an answer, where "" is none.
func parseMark(answer rueidis.RedisMessage) (m mark, ok bool) {
	b, err := answer.AsBytes()
	if err != nil || len(b) != markLen {
		return mark{}, false
	}
	m.read(b)
	return m, true
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}

func readTime(b []byte) time.Time {
	ms := int64(binary.BigEndian.Uint64(b))
	if ms == (time.Time{}).UnixMilli() {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
