package core

import (
	"reflect"
)

// Key is a typed name for a value. Declare each once, as a package variable:
//
//	var visits = core.NewKey[int]("visits")
//
// Its methods take a [*Session] or a [Namespace].
type Key[T any] struct {
	name    string
	mutable bool
}

// NewKey declares a key. It panics, at start, if the name is empty, longer
// than 512 bytes or not UTF-8, or if values of type T could not be stored:
// channels, functions, complex numbers, interfaces with methods, structs
// without exported fields.
func NewKey[T any](name string) Key[T] {
	if _, err := keyName("", name); err != nil {
		panic(err)
	}
	k := kindOf(reflect.TypeFor[T]())
	if k.err != nil {
		panic(&ValueError{Op: "encode", Key: name, Type: reflect.TypeFor[T]().String(), err: k.err})
	}
	return Key[T]{name, k.mutable}
}

// String returns the name.
func (k Key[T]) String() string { return k.name }

// Get returns the value. ok is false if there is none, or if what is stored is
// no T: then [Session.Err] says so, because a program that takes it for absent
// would overwrite it. Use [Key.Lookup] to handle that case.
//
// A map, slice or pointer may be changed in place: that is found and saved
// without a Set.
func (k Key[T]) Get(v View) (value T, ok bool) {
	s, name, ok := enter(v, k.name, false)
	if !ok {
		return value, false
	}
	defer s.mu.Unlock()
	value, ok, err := get[T](s, name, k.mutable)
	if err != nil {
		s.fail(err)
	}
	return value, ok
}

// GetOr returns the value, or def if there is none.
func (k Key[T]) GetOr(v View, def T) T {
	if value, ok := k.Get(v); ok {
		return value
	}
	return def
}

// Lookup returns the value, or an error that is not recorded in [Session.Err]:
// [ErrNoValue], a [*ValueError] if what is stored is no T, or why the session
// could not be read.
func (k Key[T]) Lookup(v View) (value T, err error) {
	s, name, ok := enter(v, k.name, false)
	if !ok {
		return value, s.Err()
	}
	defer s.mu.Unlock()
	value, ok, err = get[T](s, name, k.mutable)
	if err == nil && !ok {
		err = ErrNoValue
	}
	return value, err
}

// Set stores the value. Setting what is already there is no change.
func (k Key[T]) Set(v View, value T) {
	s, name, ok := enter(v, k.name, true)
	if !ok {
		return
	}
	defer s.mu.Unlock()
	set(s, name, value)
}

// Has reports whether there is a value, without decoding it.
func (k Key[T]) Has(v View) bool { return has(v, k.name) }

// Delete removes the value. Removing what is not there is no change.
func (k Key[T]) Delete(v View) { remove(v, k.name) }

// Pop removes the value and returns it: a flash message, a one-time value. Of
// several requests that pop the same value only one succeeds; the others are
// answered with 409.
func (k Key[T]) Pop(v View) (value T, ok bool) {
	s, name, ok := enter(v, k.name, true)
	if !ok {
		return value, false
	}
	defer s.mu.Unlock()
	value, ok, err := pop[T](s, name)
	if err != nil {
		s.fail(err)
	}
	return value, ok
}

// Update replaces the value by fn of it, atomically across requests, processes
// and machines: if another request changed the session meanwhile, fn runs
// again on what that one stored. An absent value is the zero T. Update returns
// the result as this request saw it; the one that is stored may differ.
//
// fn may run several times, later than this call, and must be pure: nothing but
// its argument may decide its result, and it must not use the session (which
// is locked meanwhile: that would never return). A map or slice that it is
// given is decoded anew each time, so it may change that and return it.
func (k Key[T]) Update(v View, fn func(T) T) T {
	var result T // not a named result, which would be read after the unlock: a Save elsewhere may run fn again
	s, name, ok := enter(v, k.name, true)
	if !ok {
		return result
	}
	defer s.mu.Unlock()
	s.flush(name)
	s.releaseName(name)
	s.do(op{kind: opUpdate, name: name, fn: func(data []byte, had bool) ([]byte, error) {
		var value T
		if had {
			var err error
			if value, err = decode[T](s, name, data); err != nil {
				return nil, err
			}
		}
		result = fn(value)
		next, err := encode(s, name, result)
		if err == nil {
			err = s.fits(name, len(next))
		}
		return next, err
	}})
	if data, ok := s.raw(name); k.mutable && ok && s.err == nil {
		s.lives = append(s.lives, live{name: name, typ: reflect.TypeFor[T](), value: result, data: data})
	}
	return result
}
