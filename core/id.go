package core

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
)

// ID names a session for its whole life: 128 random bits. It is no credential:
// it may be logged, listed and shown. The zero ID means "not stored yet".
type ID [16]byte

var errID = errors.New("sessions: not a session ID: want 22 characters of base64url")

// ParseID reads what [ID.String] wrote. It accepts no other form.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 22 {
		return ID{}, errID
	}
	var buf [18]byte
	n, err := base64.RawURLEncoding.Strict().Decode(buf[:], []byte(s))
	if err != nil || n != len(id) {
		return ID{}, errID
	}
	copy(id[:], buf[:])
	if id.IsZero() {
		return ID{}, errID
	}
	return id, nil
}

// IsZero reports whether the session has no ID yet.
func (id ID) IsZero() bool { return id == ID{} }

// String returns 22 characters of [A-Za-z0-9_-], valid in a file name, or ""
// for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// MarshalText returns the form of [ID.String].
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the form of [ID.String]; empty text is the zero ID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	got, err := ParseID(string(text))
	if err == nil {
		*id = got
	}
	return err
}

// token is the credential: the ID and the proof that its bearer was given it.
// It exists only in the client's cookie and, for one request, here.
type token [32]byte

// newToken makes a fresh proof for id. crypto/rand never fails: it ends the
// program rather than return less than it was asked for.
func newToken(id ID) (t token) {
	copy(t[:16], id[:])
	rand.Read(t[16:])
	return t
}

func newID() (id ID) {
	for id.IsZero() {
		rand.Read(id[:])
	}
	return id
}

func (t *token) id() ID { return ID(t[:16]) }

// hash is what the record keeps of the proof.
func (t *token) hash() [32]byte { return sha256.Sum256(t[16:]) }

// proves reports, in constant time, whether the token has the proof whose hash
// is kept.
func (t *token) proves(kept *[32]byte) bool {
	h := t.hash()
	return subtle.ConstantTimeCompare(h[:], kept[:]) == 1
}
