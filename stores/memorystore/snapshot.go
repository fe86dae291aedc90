package memorystore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/coatcheck/sessions/core"
)

// A snapshot is the magic, then a frame for each record, then an end frame.
//
//	frame  uint32 length, uint32 CRC-32C, record as Record.MarshalBinary has it
//	end    uint32 0, uint32 number of frames before
//
// Integers are little-endian. The last byte of the magic is the version.
const snapshotMagic = "SESSMEM\x01"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot writes the live sessions to w, for [Store.Restore] to read after a
// restart. It may run while the store is in use; then each session is written
// as it is at some moment of the call. An error is the writer's.
//
// A snapshot holds all that the sessions hold, in the clear. Write it where
// only the service can read and write.
func (s *Store) Snapshot(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(snapshotMagic)
	var frame []byte
	frames := uint32(0)
	for rec := range s.List(context.Background()) {
		frame, _ = rec.AppendBinary(append(frame[:0], make([]byte, frameHead)...))
		size := len(frame) - frameHead
		if size > math.MaxUint32 {
			return fmt.Errorf("sessions: snapshot: %v has %d bytes, more than the format can hold", rec, size)
		}
		putHead(frame, uint32(size), crc32.Checksum(frame[frameHead:], castagnoli))
		if _, err := out.Write(frame); err != nil {
			return fmt.Errorf("sessions: snapshot: %w", err)
		}
		frames++
	}
	var end [frameHead]byte
	putHead(end[:], 0, frames)
	out.Write(end[:])
	if err := out.Flush(); err != nil {
		return fmt.Errorf("sessions: snapshot: %w", err)
	}
	return nil
}

const frameHead = 8

func putHead(b []byte, length, sum uint32) {
	binary.LittleEndian.PutUint32(b, length)
	binary.LittleEndian.PutUint32(b[4:], sum)
}

// Restore adds the sessions of a snapshot to the store and returns how many.
// Sessions that have expired meanwhile are dropped, and one that the store
// already has stays as it is there.
//
// What is damaged or cut off is left out; the error then wraps
// [core.ErrCorrupt], and all that could be read is restored. If not everything
// finds room, anonymous sessions make way as always, and the error wraps
// [core.ErrFull] if that was not enough. Other errors are the reader's. Restore
// may read beyond the end of the snapshot.
func (s *Store) Restore(r io.Reader) (n int, err error) {
	in := snapshotReader{in: bufio.NewReaderSize(r, 64<<10), limit: s.budget.maxBytes}
	err = in.open()
	damaged := 0
	var refused error
	for err == nil {
		var rec core.Record
		switch rec, err = in.next(); {
		case err == errDamaged:
			damaged++
			err = nil
		case err == nil && rec.ExpiresAt.UnixMilli() > s.now():
			switch failed := s.Create(context.Background(), rec); {
			case failed == nil:
				n++
			case errors.Is(failed, core.ErrFull):
				refused = failed
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	if damaged > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %d of %d records", errDamaged, damaged, in.frames))
	}
	return n, errors.Join(err, refused)
}

// errDamaged is one record that cannot be read. Others may follow.
var errDamaged = fmt.Errorf("sessions: restore: damaged: %w", core.ErrCorrupt)

type snapshotReader struct {
	in     *bufio.Reader
	limit  int64 // to the length of a record
	frames uint32
	buf    bytes.Buffer
}

// open reads the magic.
func (r *snapshotReader) open() error {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r.in, magic); err != nil {
		return cutOff(err)
	}
	if string(magic) != snapshotMagic {
		return fmt.Errorf("sessions: restore: not a snapshot, or one of another version: %w", core.ErrCorrupt)
	}
	return nil
}

// next reads a record. io.EOF is the proper end; after errDamaged another may
// follow; any other error is final.
func (r *snapshotReader) next() (rec core.Record, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return rec, cutOff(err)
	}
	length, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	switch {
	case length == 0 && sum == r.frames:
		return rec, io.EOF
	case length == 0:
		return rec, fmt.Errorf("sessions: restore: the snapshot ends after %d records instead of %d: %w", r.frames, sum, core.ErrCorrupt)
	case int64(length) > r.limit:
		return rec, fmt.Errorf("sessions: restore: a record of %d bytes, where %d are the most: %w", length, r.limit, core.ErrCorrupt)
	}
	r.frames++
	// CopyN takes no more memory than there is input, whatever the length
	// claims.
	r.buf.Reset()
	if _, err := io.CopyN(&r.buf, r.in, int64(length)); err != nil {
		return rec, cutOff(err)
	}
	if crc32.Checksum(r.buf.Bytes(), castagnoli) != sum || rec.UnmarshalBinary(r.buf.Bytes()) != nil {
		return rec, errDamaged
	}
	rec.Values = exact(rec.Values) // the buffer will be used again
	return rec, nil
}

// cutOff is the error for a snapshot that could not be read to its end.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("sessions: restore: the snapshot was cut off: %w", core.ErrCorrupt)
	}
	return fmt.Errorf("sessions: restore: %w", err)
}
