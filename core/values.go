package core

import (
	"bytes"
	"errors"
	"iter"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// View is where values live: a [*Session], or one of its [Namespace]s.
type View interface {
	view() (s *Session, prefix string)
}

func (s *Session) view() (*Session, string) { return s, "" }

// Get returns the value under a key, decoded without knowing its type:
// integers as int64, floats as float64, maps as map[string]any, slices as
// []any, times as time.Time. ok is false if there is none. A [Key] returns the
// type that was stored.
//
// A map or slice may be changed in place: that is found and saved.
func (s *Session) Get(key string) (value any, ok bool) { return getAny(s, key) }

// Set stores a value under a key. Setting what is already there is no change.
// A value that cannot be encoded is reported by [Session.Err] at once.
func (s *Session) Set(key string, value any) { setAny(s, key, value) }

// Has reports whether there is a value under a key, without decoding it.
func (s *Session) Has(key string) bool { return has(s, key) }

// Delete removes a value. Removing what is not there is no change.
func (s *Session) Delete(key string) { remove(s, key) }

// Pop removes a value and returns it, as [Session.Get] does: a flash message.
// Of several requests that pop the same value only one succeeds; the others
// are answered with 409.
func (s *Session) Pop(key string) (value any, ok bool) { return popAny(s, key) }

// Keys returns the keys in ascending order.
func (s *Session) Keys() []string { return keys(s) }

// All returns keys and values in ascending order of the keys. The values are
// copies: changing them changes nothing in the session.
func (s *Session) All() iter.Seq2[string, any] { return all(s) }

// Len returns how many values there are, namespaces not counted.
func (s *Session) Len() int { return len(keys(s)) }

// Clear removes every value, those of all namespaces included. User and limits
// stay.
func (s *Session) Clear() { clearView(s) }

// opKind is what an op does.
type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opClear // every name that starts with op.name
	opUpdate
	opPop // op.data is what was popped
)

// op is one change as the handler asked for it, so that it can be done again
// on a record that others changed meanwhile.
type op struct {
	kind opKind
	name string
	data []byte
	fn   func(data []byte, had bool) ([]byte, error)
}

// live is a mutable value in the hands of the handler, and its encoding when
// it was handed out.
type live struct {
	name  string
	typ   reflect.Type // that it was asked for as
	value any
	data  []byte
	stale bool // another request has changed what is stored
}

// errTaken refuses the pop of a value that another request popped first.
var errTaken = errors.New("another request took the value first")

// raw returns the encoded value of a name as this request sees it.
func (s *Session) raw(name string) ([]byte, bool) {
	if len(s.changes) > 0 {
		if i, found := s.changes.search(name); found {
			return s.changes[i].data, !s.changes[i].gone
		}
	}
	return content(s.rec.Values).find(name)
}

// do performs an op and remembers it.
func (s *Session) do(o op) {
	if err := s.perform(o); err != nil {
		s.fail(err)
		return
	}
	s.ops = append(s.ops, o)
}

// perform applies an op to the changes.
func (s *Session) perform(o op) error {
	switch o.kind {
	case opSet:
		s.changes.put(change{name: o.name, data: o.data})
	case opDelete:
		s.erase(o.name)
	case opClear:
		for i := range s.changes {
			if strings.HasPrefix(s.changes[i].name, o.name) {
				s.changes[i] = change{name: s.changes[i].name, gone: true}
			}
		}
		for name := range content(s.rec.Values).entries() {
			if strings.HasPrefix(string(name), o.name) {
				s.changes.put(change{name: string(name), gone: true})
			}
		}
	case opUpdate:
		data, had := s.raw(o.name)
		next, err := o.fn(data, had)
		if err != nil {
			return err
		}
		if !had || !bytes.Equal(data, next) {
			s.changes.put(change{name: o.name, data: next})
		}
	case opPop:
		if data, had := s.raw(o.name); !had || !bytes.Equal(data, o.data) {
			return errTaken
		}
		s.erase(o.name)
	}
	return nil
}

func (s *Session) erase(name string) {
	if _, had := s.raw(name); had {
		s.changes.put(change{name: name, gone: true})
	}
}

// flush makes ops of the values that were changed in place: those of one name,
// or all with "".
func (s *Session) flush(name string) {
	for i := range s.lives {
		l := &s.lives[i]
		if name != "" && l.name != name {
			continue
		}
		data, err := encode(s, l.name, l.value)
		if err != nil {
			s.fail(err)
			return
		}
		if !bytes.Equal(data, l.data) {
			l.data = data
			s.do(op{kind: opSet, name: l.name, data: data})
			for j := range s.lives { // handed out under another type
				if s.lives[j].name == l.name {
					s.lives[j].stale = j != i
				}
			}
		}
	}
}

// release forgets the values handed out under names with the prefix: they are
// no longer the session's.
func (s *Session) release(match func(name string) bool) {
	kept := s.lives[:0]
	for _, l := range s.lives {
		if !match(l.name) {
			kept = append(kept, l)
		}
	}
	clear(s.lives[len(kept):])
	s.lives = kept
}

func (s *Session) releaseName(name string) {
	if len(s.lives) > 0 {
		s.release(func(n string) bool { return n == name })
	}
}

func (s *Session) releasePrefix(prefix string) {
	s.release(func(n string) bool { return strings.HasPrefix(n, prefix) })
}

var kinds sync.Map // reflect.Type -> kind

// kindOfValue is kindOf, remembered.
func kindOfValue(v any) kind {
	switch v.(type) {
	case nil, bool, string, int, int64, uint64, float64:
		return kind{}
	}
	t := reflect.TypeOf(v)
	if k, ok := kinds.Load(t); ok {
		return k.(kind)
	}
	k := kindOf(t)
	kinds.Store(t, k)
	return k
}

// encode encodes a value and checks it against the limit.
func encode[T any](s *Session, name string, v T) (data []byte, err error) {
	ok := false
	if s.m.scalars {
		data, ok = encodeScalar(v) // most values, and then v does not escape into an interface
	}
	if !ok {
		data, err = s.marshal(name, v)
	}
	if err == nil && len(data) > s.m.maxBytes {
		return nil, &TooLargeError{What: "value", Size: len(data), Limit: s.m.maxBytes}
	}
	return data, err
}

// marshal is encode without the limit.
func (s *Session) marshal(name string, v any) ([]byte, error) {
	k := kindOfValue(v)
	err := k.err
	if err == nil && k.deep && tooDeep(reflect.ValueOf(v), maxDepth) {
		err = errors.New("nested too deeply, or inside itself")
	}
	var data []byte
	if err == nil {
		data, err = s.m.codec.Marshal(v)
	}
	if err != nil {
		return nil, &ValueError{Op: "encode", Key: display(name), Type: typeName(v), err: err}
	}
	return data, nil
}

// decode returns the value that data encodes, or the zero one and an error.
func decode[T any](s *Session, name string, data []byte) (value T, err error) {
	if s.m.scalars && decodeScalar(data, &value) { // most values, and then &value does not escape
		return value, nil
	}
	return unmarshal[T](s, name, data)
}

// unmarshal is decode for any type.
func unmarshal[T any](s *Session, name string, data []byte) (T, error) {
	var value, none T
	if err := s.m.codec.Unmarshal(data, &value); err != nil {
		return none, &ValueError{Op: "decode", Key: display(name), Type: reflect.TypeFor[T]().String(), err: err}
	}
	return value, nil
}

func typeName(v any) string {
	if v == nil {
		return "nil"
	}
	return reflect.TypeOf(v).String()
}

// display is a name as the application knows it.
func display(name string) string {
	return name[strings.LastIndexByte(name, nsMark[0])+1:]
}

// publicName is display with the namespace before it.
func publicName(name string) string {
	if app, key, ok := strings.Cut(strings.TrimPrefix(name, nsMark), nsMark); ok {
		return app + "/" + key
	}
	return name
}

// keyName checks a key and returns the entry's name.
func keyName(prefix, key string) (string, error) {
	switch {
	case key == "":
		return "", &KeyError{key, "a key must not be empty"}
	case len(key) > maxKeyLen:
		return "", &TooLargeError{What: "key", Size: len(key), Limit: maxKeyLen}
	case !utf8.ValidString(key):
		return "", &KeyError{key, "a key must be valid UTF-8"}
	}
	if prefix == "" {
		return key, nil
	}
	return prefix + key, nil
}

// enter locks the session of a view for a key and returns the entry's name. If
// ok is false, it is unlocked again.
func enter(v View, key string, change bool) (s *Session, name string, ok bool) {
	s, prefix := v.view()
	s.mu.Lock()
	defer func() {
		if !ok { // or a panic of the store's, which must not leave it locked
			s.mu.Unlock()
		}
	}()
	name, err := keyName(prefix, key)
	if err != nil {
		s.fail(err)
		return s, "", false
	}
	return s, name, s.use(change)
}

func getAny(v View, key string) (any, bool) {
	s, name, ok := enter(v, key, false)
	if !ok {
		return nil, false
	}
	defer s.mu.Unlock()
	value, ok, err := get[any](s, name, true)
	if err != nil {
		s.fail(err)
	}
	return value, ok
}

// get decodes the value of a name, or returns the one that was handed out.
func get[T any](s *Session, name string, mutable bool) (value T, ok bool, err error) {
	if len(s.lives) > 0 {
		mine, others := -1, false
		for i := range s.lives {
			switch l := &s.lives[i]; {
			case l.name != name:
			case l.typ == reflect.TypeFor[T]() && !l.stale:
				mine = i
			default:
				others = true
			}
		}
		if mine < 0 || others {
			s.flush(name)
		}
		if mine >= 0 && !s.lives[mine].stale {
			value, _ = s.lives[mine].value.(T) // a nil any is no any
			return value, true, nil
		}
	}
	data, ok := s.raw(name)
	if !ok {
		return value, false, nil
	}
	if value, err = decode[T](s, name, data); err != nil {
		return value, false, err
	}
	if mutable && kindOfValue(value).mutable {
		s.lives = append(s.lives, live{name: name, typ: reflect.TypeFor[T](), value: value, data: s.baseline(name, value, data)})
	}
	return value, true, nil
}

// baseline is what a value handed out encodes to while nobody changes it.
// Mostly that is what is stored; it is not where the type has changed since,
// or where two Go values share an encoding.
func (s *Session) baseline(name string, value any, stored []byte) []byte {
	data, err := encode(s, name, value)
	if err != nil {
		return stored
	}
	return data
}

func setAny(v View, key string, value any) {
	s, name, ok := enter(v, key, true)
	if !ok {
		return
	}
	defer s.mu.Unlock()
	set(s, name, value)
}

func set[T any](s *Session, name string, value T) {
	data, err := encode(s, name, value)
	if err != nil {
		s.fail(err)
		return
	}
	s.releaseName(name)
	if old, had := s.raw(name); !had || !bytes.Equal(old, data) {
		if err := s.fits(name, len(data)); err != nil {
			s.fail(err)
			return
		}
		s.do(op{kind: opSet, name: name, data: data})
	}
	if kindOfValue(value).mutable {
		s.lives = append(s.lives, live{name: name, typ: reflect.TypeOf(value), value: value, data: data})
	}
}

// fits reports, before it is too late to choose, that a value would not fit
// beside the others. It is exact only in refusing what can never fit.
func (s *Session) fits(name string, size int) error {
	total := size
	for _, ch := range s.changes {
		if !ch.gone && ch.name != name {
			total += len(ch.data)
		}
	}
	if total > s.m.maxBytes {
		return &TooLargeError{What: "session", Size: total, Limit: s.m.maxBytes}
	}
	return nil
}

func has(v View, key string) bool {
	s, name, ok := enter(v, key, false)
	if !ok {
		return false
	}
	defer s.mu.Unlock()
	_, ok = s.raw(name)
	return ok
}

func remove(v View, key string) {
	s, name, ok := enter(v, key, true)
	if !ok {
		return
	}
	defer s.mu.Unlock()
	s.releaseName(name)
	if _, had := s.raw(name); had {
		s.do(op{kind: opDelete, name: name})
	}
}

func popAny(v View, key string) (any, bool) {
	s, name, ok := enter(v, key, true)
	if !ok {
		return nil, false
	}
	defer s.mu.Unlock()
	value, ok, err := pop[any](s, name)
	if err != nil {
		s.fail(err)
	}
	return value, ok
}

func pop[T any](s *Session, name string) (T, bool, error) {
	value, ok, err := get[T](s, name, false)
	if !ok || err != nil {
		return value, false, err
	}
	data, _ := s.raw(name)
	s.releaseName(name)
	s.do(op{kind: opPop, name: name, data: data})
	return value, true, nil
}

func keys(v View) []string {
	s, prefix := v.view()
	defer s.lock()()
	if !s.use(false) {
		return nil
	}
	var out []string
	for name := range content(s.rec.Values).merge(s.changes) {
		if key, ok := within(prefix, string(name)); ok {
			out = append(out, key)
		}
	}
	return out
}

// within returns the key of a name in a view.
func within(prefix, name string) (key string, ok bool) {
	if prefix == "" {
		return name, !strings.HasPrefix(name, nsMark)
	}
	return strings.CutPrefix(name, prefix)
}

func all(v View) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, key := range keys(v) {
			if value, ok := copyAny(v, key); ok && !yield(key, value) {
				return
			}
		}
	}
}

// copyAny is getAny for a value that is the caller's own.
func copyAny(v View, key string) (value any, ok bool) {
	s, name, ok := enter(v, key, false)
	if !ok {
		return nil, false
	}
	defer s.mu.Unlock()
	s.flush(name)
	data, ok := s.raw(name)
	if !ok {
		return nil, false
	}
	value, err := decode[any](s, name, data)
	if err != nil {
		s.fail(err)
		return nil, false
	}
	return value, true
}

func clearView(v View) {
	s, prefix := v.view()
	defer s.lock()()
	if !s.use(true) {
		return
	}
	s.releasePrefix(prefix)
	for name := range content(s.rec.Values).merge(s.changes) {
		if strings.HasPrefix(string(name), prefix) {
			s.do(op{kind: opClear, name: prefix})
			return
		}
	}
}
