package redisstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// soon is a context for what must happen.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Fails if a process goes by its own queue alone.
func TestLockAcrossProcesses(t *testing.T) {
	one := newStore(t, sharedClient(t), nil)
	two := beside(t, one, one.client)
	ctx, id := soon(t), newUnknown()
	var group sync.WaitGroup
	n := 0 // guarded by the lock under test
	for _, s := range []*Store{one, two, one, two} {
		group.Go(func() {
			for range 10 {
				unlock, err := s.Lock(ctx, id)
				if err != nil {
					t.Error(err)
					return
				}
				n++
				unlock()
			}
		})
	}
	group.Wait()
	if n != 40 {
		t.Errorf("%d turns counted under the lock, want 40", n)
	}
	if left := keys(ctx, t, one); len(left) > 0 {
		t.Errorf("keys are left: %v", left)
	}
	if len(one.queues.of)+len(two.queues.of) > 0 {
		t.Error("queues are left")
	}
}

// Fails if the lock of a holder that died stays, or if a holder that lost its
// lock frees that of another.
func TestLockOutlivesItsLease(t *testing.T) {
	one := newStore(t, sharedClient(t), nil)
	two, three := beside(t, one, one.client), beside(t, one, one.client)
	ctx, id := soon(t), newUnknown()
	first, err := one.Lock(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	left, err := one.client.Do(ctx, one.client.B().Pttl().Key(one.prefix+":l:"+id.String()).Build()).AsInt64()
	if err != nil || left <= 0 || left > lockLease.Milliseconds() {
		t.Errorf("the lock of one that dies now stays for %d ms, %v; want at most %v", left, err, lockLease)
	}
	if err := one.client.Do(ctx, one.client.B().Del().Key(one.prefix+":l:"+id.String()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	second, err := two.Lock(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	first()
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := three.Lock(brief, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock while another holds it: %v, want the context's error", err)
	}
	second()
	third, err := three.Lock(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	third()
}

// Fails if the lease is not renewed.
func TestLockIsRenewed(t *testing.T) {
	plain := newStore(t, sharedClient(t), nil)
	renewed := make(chan struct{}, 100)
	s := beside(t, plain, &hooked{Client: plain.client, before: func(command []string) bool {
		if command[0] == "EVALSHA" {
			renewed <- struct{}{}
		}
		return true
	}})
	s.lease = 300 * time.Millisecond
	ctx, id := soon(t), newUnknown()
	started := time.Now()
	unlock, err := s.Lock(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for time.Since(started) < 2*s.lease {
		select {
		case <-renewed:
		case <-ctx.Done():
			t.Fatal("the lease was not renewed")
		}
	}
	n, err := s.client.Do(ctx, s.client.B().Exists().Key(s.prefix+":l:"+id.String()).Build()).AsInt64()
	if err != nil || n != 1 {
		t.Errorf("after twice its lease, the lock is there: %d, %v", n, err)
	}
	unlock()
}
