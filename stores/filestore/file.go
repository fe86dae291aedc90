package filestore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/coatcheck/sessions/core"
)

// A record's file:
//
//	[4] magic, with the format's version
//	[4] CRC-32C of what follows, big-endian
//	    the record, as core.Record.AppendBinary writes it
//
// The checksum finds what a disk may do to a file: cut it short, fill it with
// zeros, mix it with another.
const (
	magic      = "cks1"
	headerSize = len(magic) + 4

	// maxFile bounds what is read into memory, whatever is in the directory.
	maxFile = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(file []byte) uint32 { return crc32.Checksum(file[headerSize:], castagnoli) }

// encode returns the file of a record. It refuses a record that could not be
// read back, which must not replace one that can.
func encode(rec core.Record) ([]byte, error) {
	data := make([]byte, headerSize, headerSize+192+len(rec.User)+len(rec.Values))
	copy(data, magic)
	data, err := rec.AppendBinary(data)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("filestore: a session of %d bytes; at most %d can be stored", len(data), maxFile)
	}
	binary.BigEndian.PutUint32(data[len(magic):], checksum(data))
	if _, err := decode(data, rec.ID); err != nil {
		return nil, fmt.Errorf("filestore: the session of ID %q cannot be stored: a time or limit in it is out of range, or it has no ID", rec.ID)
	}
	return data, nil
}

// decode reads the file of an ID. The record's values share its memory. An
// error wraps core.ErrCorrupt.
func decode(data []byte, id core.ID) (rec core.Record, err error) {
	switch {
	case len(data) < headerSize:
		return rec, fmt.Errorf("%w: a file of %d bytes", core.ErrCorrupt, len(data))
	case string(data[:len(magic)]) != magic:
		return rec, fmt.Errorf("%w: not a session's file", core.ErrCorrupt)
	case binary.BigEndian.Uint32(data[len(magic):]) != checksum(data):
		return rec, fmt.Errorf("%w: wrong checksum", core.ErrCorrupt)
	}
	if err := rec.UnmarshalBinary(data[headerSize:]); err != nil {
		return core.Record{}, err
	}
	if rec.ID != id {
		return core.Record{}, fmt.Errorf("%w: the file of another session, %s", core.ErrCorrupt, rec.ID)
	}
	return rec, nil
}
