package storetest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// recorder is a testing.TB whose failures are written down instead of failing
// the test.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failed   bool
	text     strings.Builder
	cleanups []func()
}

// record runs fn with a recorder, as a test of its own.
func record(t testing.TB, fn func(t testing.TB)) (failed bool, text string) {
	r := &recorder{TB: t}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer func() {
			for i := len(r.cleanups) - 1; i >= 0; i-- {
				r.cleanups[i]()
			}
		}()
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		fn(r)
	}()
	<-over
	return r.failed, r.text.String()
}

func (r *recorder) write(text string, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.WriteString(strings.TrimSuffix(text, "\n") + "\n")
	r.failed = r.failed || failed
}

func (r *recorder) Helper()                   {}
func (r *recorder) Log(args ...any)           { r.write(fmt.Sprintln(args...), false) }
func (r *recorder) Logf(f string, a ...any)   { r.write(fmt.Sprintf(f, a...), false) }
func (r *recorder) Error(args ...any)         { r.write(fmt.Sprintln(args...), true) }
func (r *recorder) Errorf(f string, a ...any) { r.write(fmt.Sprintf(f, a...), true) }
func (r *recorder) Fail()                     { r.write("failed", true) }
func (r *recorder) FailNow()                  { r.write("failed", true); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)         { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...); runtime.Goexit() }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Cleanup(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, fn)
}
