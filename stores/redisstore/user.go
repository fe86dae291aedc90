package redisstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// The list of a user is a sorted set. A member is an ID and the stamp of the
// entry; its score is when the session ends at the latest.
//
// An entry is added first, and the record that it is about follows. So a reader
// that finds no such record cannot tell an entry that became stale from one
// whose record is on its way. It drops an entry only after settleTime, and a
// write that took longer than maxWrite fails, even if it succeeded: between the
// two lies what clocks may differ by. Stamps make sure that what one drops as
// stale is never what another just added.
const (
	maxWrite   = time.Minute
	settleTime = 10 * time.Minute
)

var errSlow = errors.New("redisstore: the write took so long that the list of its user may lack the session")

// stamp is a time in milliseconds and 20 random bits. It is never zero.
type stamp uint64

func newStamp(now time.Time) stamp {
	return stamp(now.UnixMilli())<<20 | stamp(rand.Uint64N(1<<20)) | 1
}

func (s stamp) time() time.Time { return time.UnixMilli(int64(s >> 20)) }

const memberLen = len(core.ID{}) + 8

// member is the entry of a session, with this stamp, in the list of its user.
func (s stamp) member(id core.ID) string {
	b := append(make([]byte, 0, memberLen), id[:]...)
	return rueidis.BinaryString(binary.BigEndian.AppendUint64(b, uint64(s)))
}

func parseMember(m string) (id core.ID, s stamp, ok bool) {
	if len(m) != memberLen {
		return id, 0, false
	}
	copy(id[:], m)
	return id, stamp(binary.BigEndian.Uint64([]byte(m[len(id):]))), true
}

func (s *Store) userKey(t tag) string {
	return s.prefix + ":u:" + base64.RawURLEncoding.EncodeToString(t[:])
}

// enlistScript takes the score up to which entries are dead, the score and the
// member of the new entry, and the slack. It removes a bounded number of the
// dead, and lets the list live as long as its last session may.
var enlistScript = rueidis.NewLuaScript(`
local dead = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, 100)
if #dead > 0 then redis.call('ZREM', KEYS[1], unpack(dead)) end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.max(last + ARGV[4], 1)))
return 1`)

// enlist adds an entry to the list of a user and returns its mark.
func (s *Store) enlist(ctx context.Context, id core.ID, until time.Time, user string) (mark, error) {
	now := s.clock()
	m := mark{until: until, stamp: newStamp(now), user: tagOf(user)}
	_, err := s.run(ctx, enlistScript, s.userKey(m.user), millis(now.Add(-slack)), millis(until), m.stamp.member(id), slackMillis)
	return m, err
}

// settled fails if the entry was added so long ago that it may be gone.
func (s *Store) settled(entry mark) error {
	if entry.stamp != 0 && s.clock().Sub(entry.stamp.time()) > maxWrite {
		return errSlow
	}
	return nil
}

// unlist removes entries from a list.
func (s *Store) unlist(ctx context.Context, user tag, members ...string) error {
	for chunk := range slices.Chunk(members, batch) {
		cmd := s.client.B().Zrem().Key(s.userKey(user)).Member(chunk...).Build()
		if _, err := s.do(ctx, s.client, cmd); err != nil {
			return failure(ctx, err)
		}
	}
	return nil
}

// ListUser returns the live records of a user.
func (s *Store) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	list := tagOf(user)
	cmd := s.client.B().Arbitrary("ZRANGE").Keys(s.userKey(list)).Args("0", "-1").Build()
	answer, err := s.do(ctx, s.client, cmd)
	if err != nil {
		return nil, failure(ctx, err)
	}
	members, err := answer.AsStrSlice()
	if err != nil {
		return nil, failure(ctx, err)
	}
	entries := make(map[core.ID][]stamp, len(members))
	ids := make([]core.ID, 0, len(members))
	for _, m := range members {
		id, stamp, ok := parseMember(m)
		if !ok {
			continue
		}
		if entries[id] == nil {
			ids = append(ids, id)
		}
		entries[id] = append(entries[id], stamp)
	}
	var (
		out   []core.Record
		stale []string
		now   = s.clock()
	)
	err = s.loadAll(ctx, ids, func(id core.ID, env envelope, err error) bool {
		live := err == nil && !env.expired(now)
		if live && env.rec.User == user {
			out = append(out, env.rec)
		}
		for _, stamp := range entries[id] {
			current := live && env.mark.user == list && env.mark.stamp == stamp
			if !current && now.Sub(stamp.time()) > settleTime {
				stale = append(stale, stamp.member(id))
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	// The list is complete; entries that stay cost the next reader a look.
	_ = s.unlist(ctx, list, stale...)
	return out, nil
}
