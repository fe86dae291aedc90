package app

import (
	"fmt"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// StoreOptions are the flags that concern a store.
type StoreOptions struct {
	DSN         string // -dsn
	MaxSessions int    // -max-sessions; 0 is the library's default
}

// OpenStore opens the store of one value of -store.
type OpenStore func(StoreOptions) (core.Store, error)

// Stores returns the stores that need no driver, by their value of -store. The
// caller may add others.
func Stores() map[string]OpenStore {
	return map[string]OpenStore{
		"memory": openMemory,
		"cookie": openCookie,
	}
}

func openMemory(o StoreOptions) (core.Store, error) {
	return memorystore.New(memorystore.Config{MaxSessions: o.MaxSessions}), nil
}

func openCookie(o StoreOptions) (core.Store, error) {
	switch o.DSN {
	case "":
		return cookiestore.New(cookiestore.Config{}), nil
	case "revocable":
		return cookiestore.New(cookiestore.Config{Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})}), nil
	}
	return nil, fmt.Errorf("-dsn %q: the cookie store knows only revocable", o.DSN)
}
