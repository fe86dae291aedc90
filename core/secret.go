package core

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
)

// Secret is 32 bytes or more from a random source, from which the keys that
// seal cookies are derived. It prints as a placeholder everywhere.
type Secret struct{ key string }

// ParseSecret reads a secret in standard base64 with padding, as
//
//	openssl rand -base64 32
//
// prints it, without the line break: use [strings.TrimSpace] on what was read
// from a file. It refuses what is short or was not random: fewer than 32 bytes,
// fewer than 12 distinct ones, or nothing but printable text, which is a
// passphrase or a secret that was encoded twice.
func ParseSecret(text string) (Secret, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	why := ""
	switch {
	case text == "":
		why = "the secret is empty"
	case text != strings.TrimSpace(text):
		why = "the secret has a space or a line break around it, use strings.TrimSpace"
	case err != nil || strings.ContainsAny(text, "\r\n"):
		why = "a secret must be standard base64 with padding"
	default:
		if why = weak(key); why != "" {
			why = "weak secret: " + why
		}
	}
	if why != "" {
		return Secret{}, fmt.Errorf("%w: %s; make one with: openssl rand -base64 32", ErrConfig, why)
	}
	return Secret{string(key)}, nil
}

// GenerateSecret returns a new random secret of 32 bytes.
func GenerateSecret() Secret {
	key := make([]byte, 32)
	for {
		rand.Read(key)
		if weak(key) == "" {
			return Secret{string(key)}
		}
	}
}

func weak(key []byte) string {
	if len(key) < 32 {
		return fmt.Sprintf("%d bytes, want at least 32", len(key))
	}
	distinct, printable := map[byte]bool{}, true
	for _, c := range key {
		distinct[c] = true
		printable = printable && c >= 0x20 && c < 0x7f
	}
	// 32 random bytes are all printable once in 5e13, and have fewer than 12
	// distinct values practically never.
	if printable {
		return "it is printable text, not random bytes"
	}
	if len(distinct) < 12 {
		return fmt.Sprintf("only %d distinct bytes", len(distinct))
	}
	return ""
}

// Reveal returns the secret in the form that ParseSecret reads, for a
// configuration file or a secret manager.
func (s Secret) Reveal() string { return base64.StdEncoding.EncodeToString([]byte(s.key)) }

// String, GoString, LogValue and MarshalText keep the secret out of output.
func (s Secret) String() string               { return "sessions.Secret(redacted)" }
func (s Secret) GoString() string             { return s.String() }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// derive makes a 32-byte key for one use. The label has a version, the purpose
// and the cookie's name, so that no value sealed for one is accepted for
// another.
func (s Secret) derive(use, purpose, name string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(s.key), nil, "coatcheck/sessions v1 "+use+" "+purpose+" "+name, 32)
}
