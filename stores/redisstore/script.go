package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// The scripts work on the one key of a record; the first argument is our time.
// Positions are those of the envelope, counted from one.
const prelude = `
local old = redis.call('GETRANGE', KEYS[1], 0, 56)
local function time(s, at) return (struct.unpack('>i8', s, at)) end
local form = string.byte(old)
local marked = form == 2 and #old == 57
local known = marked or form == 1 and #old >= 25
local live = known and time(old, 18) > tonumber(ARGV[1])
`

// What the scripts answer.
const (
	codeDone     = 1
	codeAbsent   = 0
	codeConflict = -1
	codeExists   = -2
	// codeUnlisted asks for an entry in the list of the user first, since a
	// record must not say that it is listed before it is.
	codeUnlisted = -3
)

var (
	// createScript takes the time of removal and the envelope. What it
	// cannot read it does not replace.
	createScript = rueidis.NewLuaScript(prelude + `
if live or #old > 0 and not known then return -2 end
redis.call('SET', KEYS[1], ARGV[3], 'PXAT', ARGV[2])
return 1`)

	// updateScript takes the time of removal, the version to replace, and the
	// envelope, in which a stamp of zero stands for the entry that the stored
	// record has, if that will do.
	updateScript = rueidis.NewLuaScript(prelude + `
if not live then return 0 end
if string.sub(old, 2, 9) ~= ARGV[3] then return -1 end
local new = ARGV[4]
if string.byte(new) == 2 and string.sub(new, 34, 41) == string.rep('\0', 8) then
	if not marked or string.sub(old, 42, 57) ~= string.sub(new, 42, 57) or time(old, 26) < time(new, 26) then
		return -3
	end
	new = string.sub(new, 1, 25) .. string.sub(old, 26, 57) .. string.sub(new, 58)
end
redis.call('SET', KEYS[1], new, 'PXAT', ARGV[2])
return 1`)

	// touchScript takes the new times, the slack, and the mark of a new entry
	// or "".
	touchScript = rueidis.NewLuaScript(prelude + `
if not live then return 0 end
local access = math.max(time(old, 10), tonumber(ARGV[2]))
local expires = math.max(time(old, 18), tonumber(ARGV[3]))
if marked and expires > time(old, 26) then
	local mark = ARGV[5]
	if mark == '' or string.sub(mark, 17) ~= string.sub(old, 42, 57) or expires > time(mark, 1) then
		return -3
	end
	redis.call('SETRANGE', KEYS[1], 25, mark)
end
redis.call('SETRANGE', KEYS[1], 9, struct.pack('>i8i8', access, expires))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.max(expires + ARGV[4], 1)))
return 1`)

	// deleteScript takes the version to delete, or "" for any, and answers
	// with the mark of what it deleted besides.
	deleteScript = rueidis.NewLuaScript(prelude + `
if ARGV[2] ~= '' then
	if not live then return {0, ''} end
	if string.sub(old, 2, 9) ~= ARGV[2] then return {-1, ''} end
end
redis.call('DEL', KEYS[1])
return {live and 1 or 0, marked and string.sub(old, 26, 57) or ''}`)
)

var errAnswer = errors.New("the server gave an unexpected answer")

// run executes a script on one key that answers with a code.
func (s *Store) run(ctx context.Context, script *rueidis.Lua, key string, args ...string) (int64, error) {
	return s.number(ctx, script, []string{key}, args...)
}

// number executes a script that answers with one.
func (s *Store) number(ctx context.Context, script *rueidis.Lua, keys []string, args ...string) (int64, error) {
	answer, err := s.exec(ctx, script, keys, args...)
	if err != nil {
		return 0, failure(ctx, err)
	}
	code, err := answer.AsInt64()
	return code, failure(ctx, err)
}

// verdict is the answer of a verb. The mark is of the entry that was added for
// it, if any.
func (s *Store) verdict(code int64, entry mark) error {
	switch code {
	case codeDone:
		return s.settled(entry)
	case codeAbsent:
		return core.ErrNotFound
	case codeConflict:
		return core.ErrConflict
	case codeExists:
		return core.ErrExists
	}
	return fmt.Errorf("redisstore: %w", errAnswer)
}

// lost reports whether an error leaves open what the server did, if anything.
func lost(err error) bool {
	_, answered := rueidis.IsRedisErr(err)
	return err != nil && !answered && !errors.Is(err, core.ErrNotFound) && !errors.Is(err, core.ErrCorrupt)
}

// failure names the package in an error of the client or the server.
func failure(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, core.ErrNotFound), errors.Is(err, core.ErrCorrupt):
		return err
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("redisstore: %w: %w", ctx.Err(), err)
	}
	if _, ok := rueidis.IsRedisErr(err); ok && strings.Contains(err.Error(), "OOM command not allowed") {
		return fmt.Errorf("%w: redisstore: the server reached its maxmemory", core.ErrFull)
	}
	return fmt.Errorf("redisstore: %w", err)
}

var slackMillis = strconv.FormatInt(slack.Milliseconds(), 10)

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// removal is when the server may remove what expires then. It takes no time
// before 1970.
func removal(expires time.Time) string {
	return strconv.FormatInt(max(expires.Add(slack).UnixMilli(), 1), 10)
}

func version(v uint64) string {
	return rueidis.BinaryString(binary.BigEndian.AppendUint64(nil, v))
}
