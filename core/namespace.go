package core

import (
	"iter"
	"slices"
	"strings"
)

// Namespace is an isolated part of a session: several applications share one
// session without seeing each other's values. See [Session.Namespace].
type Namespace struct {
	s      *Session
	prefix string
}

func (n *Namespace) view() (*Session, string) { return n.s, n.prefix }

// Namespace returns the part of the session that belongs to an application. A
// name has 1 to 255 of the characters A-Z a-z 0-9 . _ -; with another name the
// namespace is empty and [Session.Err] says why.
func (s *Session) Namespace(app string) *Namespace {
	if !validNamespace(app) {
		defer s.lock()()
		s.fail(&KeyError{app, "a namespace has 1 to 255 of the characters A-Z a-z 0-9 . _ -"})
	}
	return &Namespace{s, nsMark + app + nsMark}
}

func validNamespace(app string) bool {
	if len(app) == 0 || len(app) > maxNamespaceLen {
		return false
	}
	for i := range len(app) {
		if c := app[i]; c != '.' && octets[c]&wordOctet == 0 {
			return false
		}
	}
	return true
}

// Namespaces returns the names of the namespaces that hold values, in
// ascending order.
func (s *Session) Namespaces() []string {
	defer s.lock()()
	if !s.use(false) {
		return nil
	}
	var out []string
	for name := range content(s.rec.Values).merge(s.changes) {
		rest, ok := strings.CutPrefix(string(name), nsMark)
		if !ok {
			continue
		}
		if app, _, ok := strings.Cut(rest, nsMark); ok && !slices.Contains(out, app) {
			out = append(out, app)
		}
	}
	return out
}

// Get is [Session.Get] in this namespace.
func (n *Namespace) Get(key string) (value any, ok bool) { return getAny(n, key) }

// Set is [Session.Set] in this namespace.
func (n *Namespace) Set(key string, value any) { setAny(n, key, value) }

// Has is [Session.Has] in this namespace.
func (n *Namespace) Has(key string) bool { return has(n, key) }

// Delete is [Session.Delete] in this namespace.
func (n *Namespace) Delete(key string) { remove(n, key) }

// Pop is [Session.Pop] in this namespace.
func (n *Namespace) Pop(key string) (value any, ok bool) { return popAny(n, key) }

// Keys is [Session.Keys] in this namespace.
func (n *Namespace) Keys() []string { return keys(n) }

// All is [Session.All] in this namespace.
func (n *Namespace) All() iter.Seq2[string, any] { return all(n) }

// Len is [Session.Len] in this namespace.
func (n *Namespace) Len() int { return len(keys(n)) }

// Clear removes the values of this namespace and no others.
func (n *Namespace) Clear() { clearView(n) }
