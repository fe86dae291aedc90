package core

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The stored form of a record. Stores that keep bytes use it, so that a record
// written by one version of the library is read by the next, on every engine.
//
//	byte    format, 1
//	byte    flags: which optional fields follow
//	[16]    ID
//	uvarint Version, Generation
//	varint  CreatedAt, in milliseconds since 1970
//	varint  LastAccess, ExpiresAt, Deadline, each in milliseconds since CreatedAt
//	uvarint IdleTimeout in milliseconds
//	[32]    Proof                          if flagProof
//	[32]    Previous, varint PreviousUntil if flagPrevious
//	uvarint length, User                   if flagUser
//	varint  LoginAt since CreatedAt        if flagLogin
//	varint  Horizon since CreatedAt        if flagHorizon: it differs from Deadline
//	uvarint Requests                       if flagRequests
//	rest    Values
const recordFormat = 1

const (
	flagProof = 1 << iota
	flagPrevious
	flagUser
	flagLogin
	flagHorizon
	flagRequests
	flagPersistent
	flagsKnown = 1<<iota - 1
)

// AppendBinary appends the record's stored form to b. The error is always nil.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	var flags byte
	set := func(cond bool, flag byte) bool {
		if cond {
			flags |= flag
		}
		return cond
	}
	set(r.Proof != [32]byte{}, flagProof)
	set(r.Previous != [32]byte{}, flagPrevious)
	set(r.User != "", flagUser)
	set(!r.LoginAt.IsZero(), flagLogin)
	set(!r.Horizon.Equal(r.Deadline), flagHorizon)
	set(r.Requests != 0, flagRequests)
	set(r.Persistent, flagPersistent)

	base := r.CreatedAt.UnixMilli()
	since := func(b []byte, t time.Time) []byte {
		if t.IsZero() {
			return binary.AppendVarint(b, -1<<62)
		}
		return binary.AppendVarint(b, t.UnixMilli()-base)
	}
	b = append(b, recordFormat, flags)
	b = append(b, r.ID[:]...)
	b = binary.AppendUvarint(b, r.Version)
	b = binary.AppendUvarint(b, r.Generation)
	b = binary.AppendVarint(b, base)
	b = since(b, r.LastAccess)
	b = since(b, r.ExpiresAt)
	b = since(b, r.Deadline)
	b = binary.AppendUvarint(b, uint64(r.IdleTimeout.Milliseconds()))
	if flags&flagProof != 0 {
		b = append(b, r.Proof[:]...)
	}
	if flags&flagPrevious != 0 {
		b = append(b, r.Previous[:]...)
		b = since(b, r.PreviousUntil)
	}
	if flags&flagUser != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.User)))
		b = append(b, r.User...)
	}
	if flags&flagLogin != 0 {
		b = since(b, r.LoginAt)
	}
	if flags&flagHorizon != 0 {
		b = since(b, r.Horizon)
	}
	if flags&flagRequests != 0 {
		b = binary.AppendUvarint(b, r.Requests)
	}
	return append(b, r.Values...), nil
}

// MarshalBinary returns the record's stored form. The error is always nil.
func (r Record) MarshalBinary() ([]byte, error) {
	return r.AppendBinary(make([]byte, 0, 128+len(r.User)+len(r.Values)))
}

// UnmarshalBinary reads the stored form. Anything else is an error that wraps
// [ErrCorrupt], and leaves the record as it was. Values shares memory with
// data, which must not change afterwards.
func (r *Record) UnmarshalBinary(data []byte) error {
	d := recordReader{rest: data}
	format, flags := d.byte(), d.byte()
	if d.bad || format != recordFormat || flags&^flagsKnown != 0 {
		return fmt.Errorf("%w: unknown record format", ErrCorrupt)
	}
	var out Record
	d.bytes(out.ID[:])
	out.Version = d.uvarint()
	out.Generation = d.uvarint()
	d.base = d.varint()
	out.CreatedAt = time.UnixMilli(d.base).UTC()
	out.LastAccess = d.time()
	out.ExpiresAt = d.time()
	out.Deadline = d.time()
	idle := d.uvarint()
	if idle > uint64(MaxLifetime.Milliseconds()) {
		d.bad = true
	}
	out.IdleTimeout = time.Duration(idle) * time.Millisecond
	if flags&flagProof != 0 {
		d.bytes(out.Proof[:])
	}
	if flags&flagPrevious != 0 {
		d.bytes(out.Previous[:])
		out.PreviousUntil = d.time()
		d.bad = d.bad || out.Previous == [32]byte{} // it would not be stored again
	}
	if flags&flagUser != 0 {
		out.User = string(d.take(d.uvarint()))
	}
	if flags&flagLogin != 0 {
		out.LoginAt = d.time()
	}
	out.Horizon = out.Deadline
	if flags&flagHorizon != 0 {
		out.Horizon = d.time()
	}
	if flags&flagRequests != 0 {
		out.Requests = d.uvarint()
	}
	out.Persistent = flags&flagPersistent != 0
	if d.bad || out.ID.IsZero() {
		return fmt.Errorf("%w: record cut short or malformed", ErrCorrupt)
	}
	out.Values = d.rest[:len(d.rest):len(d.rest)]
	*r = out
	return nil
}

// String names the record by its ID alone, so that no printed record shows
// what a session holds.
func (r Record) String() string { return "sessions.Record(" + r.ID.String() + ")" }

// GoString is String: %#v shows no more than %v does.
func (r Record) GoString() string { return r.String() }

// recordReader reads fields until one does not fit; then bad stays set.
type recordReader struct {
	rest []byte
	base int64
	bad  bool
}

func (d *recordReader) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *recordReader) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *recordReader) bytes(dst []byte) { copy(dst, d.take(uint64(len(dst)))) }

func (d *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(n))
	return v
}

func (d *recordReader) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(n))
	return v
}

func (d *recordReader) time() time.Time {
	v := d.varint()
	if v == -1<<62 {
		return time.Time{}
	}
	// A century either way bounds what arithmetic can meet later.
	const century = 100 * 366 * 24 * 3600 * 1000
	if v > century || v < -century || d.base > 200*century || d.base < -200*century {
		d.bad = true
		return time.Time{}
	}
	return time.UnixMilli(d.base + v).UTC()
}
