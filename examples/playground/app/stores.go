package app

import (
	"errors"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/coatcheck/sessions/stores/redisstore"
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
		"file":   openFile,
		"redis":  openRedis,
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

func openFile(o StoreOptions) (core.Store, error) {
	if o.DSN == "" {
		return nil, errors.New("-dsn is required for the file store: a directory")
	}
	return filestore.New(filestore.Config{Dir: o.DSN, Create: true})
}

func openRedis(o StoreOptions) (core.Store, error) {
	if o.DSN == "" {
		return nil, errors.New("-dsn is required for the redis store: a URL, redis://127.0.0.1:6379")
	}
	options, err := rueidis.ParseURL(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("-dsn: %w", err)
	}
	client, err := rueidis.NewClient(options)
	if err != nil {
		return nil, fmt.Errorf("-dsn: %w", err)
	}
	store, err := redisstore.New(client, redisstore.Config{Prefix: "playground"})
	if err != nil {
		client.Close()
		return nil, err
	}
	return &redisDatabase{store, client}, nil
}

// redisDatabase is a store that closes its client with itself.
type redisDatabase struct {
	*redisstore.Store
	client rueidis.Client
}

func (d *redisDatabase) Close() error {
	d.client.Close()
	return nil
}
