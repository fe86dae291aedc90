// Package dump shows a session to a programmer: what it is, how old, and under
// which keys it holds values, but never a value, a token or the user.
//
//	defer func() { // in a handler or in a middleware inside the sessions' own
//		if p := recover(); p != nil {
//			dump.Write(os.Stderr, core.Get(r.Context()))
//			panic(p)
//		}
//	}()
package dump

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// maxKeys is how many keys of one namespace are named.
const maxKeys = 100

// Write writes a text about a session that is in use, as the request sees it:
// the changes that are not stored yet are in it. Ages are by [time.Now]. The
// text is for people and may change. Keys are named, so an application that
// puts secrets into the names of keys must not show it to others.
//
// The error is that of w; a session that cannot be read is described as such.
// Like every look at a session it loads one that was not used before.
func Write(w io.Writer, s *core.Session) error {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	now := time.Now()
	at := func(name string, t time.Time) {
		if t.IsZero() {
			return
		}
		text := t.UTC().Format("2006-01-02T15:04:05.000Z")
		if d := now.Sub(t).Round(time.Millisecond); d >= 0 {
			line(name, "%s, %v ago", text, d)
		} else {
			line(name, "%s, in %v", text, -d)
		}
	}

	id := "not stored"
	if got := s.ID(); !got.IsZero() {
		id = got.String()
	}
	line("session", "%s", id)
	if reason := s.Rejected(); reason != "" {
		line("rejected", "%s", reason)
	}
	if err := s.Err(); err != nil {
		line("error", "%v", err)
	}
	line("new", "%v", s.IsNew())
	line("dirty", "%v", s.Dirty())
	line("user", "%s", map[bool]string{true: "logged in", false: "none"}[s.User() != ""])
	at("created", s.CreatedAt())
	at("login", s.LoginAt())
	at("access", s.LastAccess())
	at("expires", s.ExpiresAt())
	at("deadline", s.Deadline())
	line("idle", "%v", s.IdleTimeout())
	if n := s.Requests(); n > 0 {
		line("requests", "%d", n)
	}
	line("keys", "%s", list(s.Keys()))
	for _, name := range s.Namespaces() {
		line("keys", "%s in namespace %s", list(s.Namespace(name).Keys()), name)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// list names keys, on one line whatever they are.
func list(keys []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", len(keys))
	for i, key := range keys {
		if i == maxKeys {
			fmt.Fprintf(&b, " and %d more", len(keys)-i)
			break
		}
		fmt.Fprintf(&b, " %q", key)
	}
	return b.String()
}
