// Package formtoken is single-use tokens for forms: a form that is sent twice,
// by a double click or by a reload, is done once.
//
//	mux.HandleFunc("GET /order", func(w http.ResponseWriter, r *http.Request) {
//		token := formtoken.New(core.Get(r.Context()), "order")
//		fmt.Fprintf(w, `<form method="post"><input type="hidden" name="token" value="%s"><button>Order</button></form>`, token)
//	})
//	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) {
//		if !formtoken.Consume(core.Get(r.Context()), "order", r.PostFormValue("token")) {
//			http.Error(w, "This form was sent already, or is too old.", http.StatusConflict)
//			return
//		}
//		// place the order
//	})
//
// A token belongs to the session, to a scope and to the user who was logged in
// when it was made: one that somebody saw before the login is refused after
// it. It is information like any other value, so it keeps the session of an
// anonymous visitor. The session holds only hashes, [Max] for each scope and
// about 50 bytes each; with the cookie-only store mind the size of the cookie,
// and that a client which kept an older cookie can send an old form again.
//
// For protection against forged requests alone use package csrf, whose token
// serves every form of the session.
package formtoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/coatcheck/sessions/core"
)

// Max is how many tokens of one scope are good at a time. One more, and the
// oldest is refused.
const Max = 32

const (
	namespace = "formtoken"
	numberLen = 8
	secretLen = 16
	textLen   = (numberLen + secretLen) * 4 / 3
)

// sortable is base64url with its alphabet in the order of the bytes, so that
// texts sort as what they encode.
var sortable = base64.NewEncoding("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz").WithPadding(base64.NoPadding)

// token is a number that tells which is older, then 128 random bits.
type token [numberLen + secretLen]byte

// New makes a token for a form and returns it: 32 characters of [A-Za-z0-9_-].
// The scope is the name of the form, at most 480 bytes, never a client's
// choice. Call it before the response begins, and after a login. Where the token
// could not be stored the result is "" and [core.Session.Err] says why.
func New(s *core.Session, scope string) string {
	ns := s.Namespace(namespace)
	names := namesOf(ns, scope)
	var t token
	if n := len(names); n > 0 {
		binary.BigEndian.PutUint64(t[:], number(names[n-1])+1)
	}
	rand.Read(t[numberLen:])
	for len(names) >= Max {
		ns.Delete(names[0])
		names = names[1:]
	}
	ns.Set(t.name(scope, s.User()), true)
	if s.Err() != nil {
		return ""
	}
	return sortable.EncodeToString(t[:])
}

// Consume reports whether the text is a token of this session and scope that
// was not used yet, and uses it up, if the request succeeds. Of two requests
// that send the same token at the same time one succeeds and the other is
// answered with 409, although Consume returned true to both: do what cannot be
// undone only after [core.Session.Save] has returned nil.
func Consume(s *core.Session, scope, text string) bool {
	t, ok := parse(text)
	if !ok {
		return false
	}
	ns := s.Namespace(namespace)
	names := namesOf(ns, scope)
	if len(names) > Max { // requests that ran at the same time each made one
		names = names[len(names)-Max:]
	}
	name := t.name(scope, s.User())
	if _, good := slices.BinarySearch(names, name); !good {
		return false
	}
	_, ok = ns.Pop(name)
	return ok
}

// parse reads what New wrote. It accepts no other form.
func parse(text string) (t token, ok bool) {
	if len(text) != textLen {
		return t, false
	}
	n, err := sortable.Decode(t[:], []byte(text))
	return t, err == nil && n == len(t) // line breaks, which the decoder skips, are short of it
}

// name returns the key of a token: its scope, its number, and a hash of all of
// it. So the keys of a scope sort by age, no key tells a token, and how long it
// takes to find one tells nothing about others.
func (t *token) name(scope, user string) string {
	hash := sha256.Sum256(append(t[:], user...))
	hidden := *t
	copy(hidden[numberLen:], hash[:])
	return scope + sortable.EncodeToString(hidden[:])
}

// namesOf returns the keys of a scope's tokens, the oldest first.
func namesOf(ns *core.Namespace, scope string) []string {
	return slices.DeleteFunc(ns.Keys(), func(name string) bool {
		return len(name) != len(scope)+textLen || !strings.HasPrefix(name, scope)
	})
}

// number returns the number in a key.
func number(name string) uint64 {
	t, _ := parse(name[len(name)-textLen:])
	return binary.BigEndian.Uint64(t[:])
}
