package redisstore

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

const (
	// crowd is how many calls may be under way before a call gets a goroutine
	// of its own. The queue of a connection holds 256 commands at the least
	// that rueidis recommends, and 1024 by default.
	crowd = 256
	// linger is how long a call that was given up counts as under way: its
	// command stays in the queue until the server answers, or the client
	// gives up the connection, which takes 10 seconds by default.
	linger = 15 * time.Second
)

// call makes a call of the client and returns when that does, or soon after ctx
// ends. The client sees to that itself, except when the queue of a connection is
// full because the server hangs: then it looks at no context. A goroutine per
// call would cost a sixth of the throughput, so only a crowd gets them.
func call[T any](ctx context.Context, s *Store, f func() T) (T, error) {
	if s.calls.Add(1) <= crowd {
		defer s.called(ctx)
		return f(), nil
	}
	answer := make(chan T, 1)
	go func() {
		defer s.called(ctx)
		answer <- f()
	}()
	select {
	case out := <-answer:
		return out, nil
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (s *Store) called(ctx context.Context) {
	if ctx.Err() == nil {
		s.calls.Add(-1)
		return
	}
	time.AfterFunc(linger, func() { s.calls.Add(-1) })
}

// do sends a command, by the client of a node or of them all.
func (s *Store) do(ctx context.Context, client rueidis.Client, cmd rueidis.Completed) (rueidis.RedisMessage, error) {
	return s.answer(ctx, func() rueidis.RedisResult { return client.Do(ctx, cmd) })
}

// exec runs a script on keys of one slot.
func (s *Store) exec(ctx context.Context, script *rueidis.Lua, keys []string, args ...string) (rueidis.RedisMessage, error) {
	return s.answer(ctx, func() rueidis.RedisResult { return script.Exec(ctx, s.client, keys, args) })
}

func (s *Store) answer(ctx context.Context, f func() rueidis.RedisResult) (rueidis.RedisMessage, error) {
	result, err := call(ctx, s, f)
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	return result.ToMessage()
}
