package memorystore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

func ExampleNew() {
	store := memorystore.New(memorystore.Config{
		MaxSessions: 100_000,
		MaxBytes:    64 << 20, // a small container
	})
	defer store.Close()
	sessions := core.MustNew(core.Config{Store: store})

	visits := core.NewKey[int]("visits")
	handler := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		n := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, "visit %d", n)
	}))

	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest("GET", "/", nil))
	fmt.Println(response.Body, "of", store.Stats().Sessions, "session")
	// Output: visit 1 of 1 session
}

// Sessions that outlive a restart. The manager needs Config.Secrets besides,
// or the browsers' cookies will not open.
func ExampleStore_Snapshot() {
	dir, err := os.MkdirTemp("", "sessions")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sessions.snapshot")

	// At the end, after http.Server.Shutdown. The file holds what the
	// sessions hold: os.CreateTemp makes it for this user alone. The rename
	// puts it in place only when it is complete.
	save := func(store *memorystore.Store) error {
		file, err := os.CreateTemp(dir, "sessions.*")
		if err != nil {
			return err
		}
		defer os.Remove(file.Name()) // fails after the rename
		if err := errors.Join(store.Snapshot(file), file.Close()); err != nil {
			return err
		}
		return os.Rename(file.Name(), path)
	}

	// At the start, before http.ListenAndServe. There is no file at first,
	// and a damaged one is no reason not to start.
	load := func(store *memorystore.Store) error {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		n, err := store.Restore(file)
		if errors.Is(err, core.ErrCorrupt) || errors.Is(err, core.ErrFull) {
			log.Printf("some sessions are lost, %d restored: %v", n, err)
			return nil
		}
		return err
	}

	before := memorystore.New(memorystore.Config{})
	login(before, "ann")
	if err := save(before); err != nil {
		log.Fatal(err)
	}
	before.Close()

	after := memorystore.New(memorystore.Config{})
	defer after.Close()
	if err := load(after); err != nil {
		log.Fatal(err)
	}
	found, _ := after.ListUser(context.Background(), "ann")
	fmt.Println(len(found), "session of ann")
	// Output: 1 session of ann
}

// login serves one request that logs a user in.
func login(store *memorystore.Store, user string) {
	sessions := core.MustNew(core.Config{Store: store})
	handler := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login(user)
	}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil))
}
