package storetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// verbs are the cases about one verb at a time.
var verbs = []testcase{
	{"load-unknown", "Load answers ErrNotFound for an ID that no record has.", func(t *trial) {
		t.wantAbsent("an empty store", newID())
		t.create(t.record())
		t.wantAbsent("a store with another record", newID())
	}},
	{"create-and-load", "Load returns every field of a record as Create was given it.", func(t *trial) {
		t.wantStored("a plain record", t.create(t.record()))
		t.wantStored("a record with every field set", t.create(t.fullRecord()))
	}},
	{"update-and-load", "Update replaces every field of a record.", func(t *trial) {
		plain, full := t.record(), t.fullRecord()
		full.ID = plain.ID
		t.create(plain)
		t.wantStored("every field set by an Update", t.update(full))
		plain.Version = 2
		t.wantStored("every field reset by an Update", t.update(plain))
	}},
	{"zero-times", "The zero time means none, and stays the zero time.", func(t *trial) {
		for _, zero := range []struct {
			name string
			set  func(r *core.Record)
		}{
			{"LoginAt", func(r *core.Record) { r.LoginAt = time.Time{} }},
			{"LastAccess", func(r *core.Record) { r.LastAccess = time.Time{} }},
			{"Deadline", func(r *core.Record) { r.Deadline = time.Time{} }},
			{"Horizon", func(r *core.Record) { r.Horizon = time.Time{} }},
			{"PreviousUntil", func(r *core.Record) { r.PreviousUntil = time.Time{} }},
		} {
			rec := t.fullRecord()
			zero.set(&rec)
			t.create(rec)
			t.wantStored("without "+zero.name, rec)
			t.wantStored("without "+zero.name+", updated", t.update(rec))
		}
	}},
	{"milliseconds", "Times have a resolution of a millisecond.", func(t *trial) {
		for _, ms := range []time.Duration{0, 1, 2, 499, 500, 501, 998, 999} {
			rec := t.record()
			rec.ExpiresAt = rec.ExpiresAt.Truncate(time.Second).Add(ms * time.Millisecond)
			rec.LastAccess = rec.LastAccess.Truncate(time.Second).Add(-ms * time.Millisecond)
			rec.CreatedAt = rec.CreatedAt.Truncate(time.Second).Add(-time.Second + ms*time.Millisecond)
			t.create(rec)
			t.wantStored(fmt.Sprintf("%d ms", ms), rec)
		}
	}},
	{"times-are-instants", "A time is an instant: its location has no meaning.", func(t *trial) {
		rec := t.fullRecord()
		zone := time.FixedZone("elsewhere", -11*3600-30*60)
		for _, at := range []*time.Time{&rec.CreatedAt, &rec.LastAccess, &rec.ExpiresAt, &rec.Deadline, &rec.Horizon, &rec.LoginAt, &rec.PreviousUntil} {
			*at = at.In(zone)
		}
		t.create(rec)
		t.wantStored("times of another zone", rec)
		access, expires := rec.LastAccess.Add(time.Minute), rec.ExpiresAt.Add(time.Minute)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, access, expires), nil)
		rec.LastAccess, rec.ExpiresAt = access, expires
		t.wantStored("touched with times of another zone", rec)
	}},
	{"values", "Values are opaque bytes, of any content and size.", func(t *trial) {
		random := make([]byte, 64<<10)
		rand.Read(random)
		for _, v := range []struct {
			name   string
			values []byte
		}{
			{"no values", nil},
			{"empty values", []byte{}},
			{"one zero byte", []byte{0}},
			{"zero bytes", make([]byte, 100)},
			{"text that looks encoded", []byte(`{"a":"\u0000"}'; -- %s \x00 \\`)},
			{"what is no UTF-8", []byte{0xff, 0xfe, 0xc3, 0x28, 0x80}},
			{"bytes 0xff", bytes.Repeat([]byte{0xff}, 300)},
			{"255 bytes", random[:255]},
			{"256 bytes", random[:256]},
			{"4 KB", random[:4096]},
			{"a byte below 64 KB", random[:64<<10-1]},
			{"64 KB", random},
		} {
			rec := t.record()
			rec.Values = v.values
			t.create(rec)
			t.wantStored(v.name, rec)
			rec.Values = []byte("others")
			rec = t.update(rec)
			rec.Values = v.values
			t.wantStored(v.name+", by an Update", t.update(rec))
		}
	}},
	{"users", "User is any string of up to 255 bytes, as Session.Login takes it.", func(t *trial) {
		for _, user := range oddUsers {
			rec := t.record()
			rec.User, rec.LoginAt = user, rec.CreatedAt
			t.create(rec)
			t.wantStored(fmt.Sprintf("user %q", user), rec)
			t.wantStored(fmt.Sprintf("user %q, updated", user), t.update(rec))
		}
	}},
	{"ids", "An ID is any 16 bytes but all zeros, and each names a record of its own.", func(t *trial) {
		var recs []core.Record
		for i, id := range oddIDs {
			rec := t.record()
			rec.ID, rec.Values = id, fmt.Appendf(nil, "record %d", i)
			t.wantAbsent(fmt.Sprintf("ID %x before its Create", id[:]), id)
			recs = append(recs, t.create(rec))
		}
		for _, rec := range recs {
			t.wantStored(fmt.Sprintf("ID %x", rec.ID[:]), rec)
		}
		for i := range recs {
			recs[i].Values = append([]byte("updated "), recs[i].Values...)
			recs[i] = t.update(recs[i])
		}
		for i, rec := range recs {
			t.wantStored(fmt.Sprintf("ID %x after an Update", rec.ID[:]), rec)
			t.delete(rec.ID)
			t.wantAbsent(fmt.Sprintf("ID %x after its Delete", rec.ID[:]), rec.ID)
			for _, other := range recs[i+1:] {
				t.wantStored(fmt.Sprintf("ID %x after the Delete of %x", other.ID[:], rec.ID[:]), other)
			}
		}
	}},

	{"create-existing", "Create answers ErrExists for the ID of a live record, and changes nothing.", func(t *trial) {
		rec := t.create(t.fullRecord())
		other := t.record()
		other.ID = rec.ID
		t.want("Create of the same ID", t.store.Create(t.ctx, other), core.ErrExists)
		t.wantStored("after a refused Create", rec)
		rec = t.update(rec)
		t.want("Create of the same ID after an Update", t.store.Create(t.ctx, other), core.ErrExists)
		t.wantStored("after a refused Create", rec)
	}},
	{"create-over-expired", "Create may replace a record that has expired.", func(t *trial) {
		old := t.create(t.fullRecord())
		t.clock.set(old.ExpiresAt)
		rec := t.record()
		rec.ID = old.ID
		t.create(rec)
		t.wantStored("the new record", rec)
		t.wantStored("the new record, updated", t.update(rec))
	}},
	{"create-after-delete", "A deleted ID is free again.", func(t *trial) {
		rec := t.create(t.fullRecord())
		t.delete(rec.ID)
		again := t.record()
		again.ID = rec.ID
		t.wantStored("created anew", t.create(again))
	}},

	{"update-conflict", "Update answers ErrConflict unless the stored version is rec.Version-1, and then changes nothing.", func(t *trial) {
		rec := t.update(t.update(t.create(t.record()))) // version 3
		for _, version := range []uint64{1, 2, 3, 5, 6, 1 << 40} {
			wrong := t.fullRecord()
			wrong.ID, wrong.Version = rec.ID, version
			t.want(fmt.Sprintf("Update of version 3 to %d", version), t.store.Update(t.ctx, wrong), core.ErrConflict)
			t.wantStored("after a refused Update", rec)
		}
		t.wantStored("after the right Update", t.update(rec))
	}},
	{"update-absent", "There is no upsert: Update answers ErrNotFound where there is no live record, and creates nothing.", func(t *trial) {
		for _, version := range []uint64{1, 2, 3} {
			rec := t.record()
			rec.Version = version
			t.want(fmt.Sprintf("Update to version %d of what never was", version), t.store.Update(t.ctx, rec), core.ErrNotFound)
			t.wantAbsent("after that", rec.ID)
		}
		rec := t.create(t.record())
		t.delete(rec.ID)
		rec.Version++
		t.want("Update of a deleted record", t.store.Update(t.ctx, rec), core.ErrNotFound)
		t.wantAbsent("after the Update of a deleted record", rec.ID)
	}},
	{"update-shortens", "Update replaces ExpiresAt too, so it can shorten a life as well as lengthen it.", func(t *trial) {
		rec := t.create(t.record())
		rec.ExpiresAt = rec.ExpiresAt.Add(life)
		rec = t.update(rec)
		t.wantStored("lengthened", rec)
		long := rec.ExpiresAt
		rec.ExpiresAt = t.clock.now().Add(life/2 + 3*time.Millisecond)
		rec = t.update(rec)
		t.wantStored("shortened", rec)
		t.clock.set(rec.ExpiresAt.Add(-time.Millisecond))
		t.wantStored("a millisecond before the new end", rec)
		t.clock.set(rec.ExpiresAt)
		t.wantExpired("at the new end", rec.ID)
		t.clock.set(long)
		t.wantExpired("at the old end", rec.ID)
	}},
	{"update-into-the-past", "A record that an Update gave an ExpiresAt that has passed is absent from then on.", func(t *trial) {
		for _, back := range []time.Duration{0, time.Millisecond, time.Hour, 1000 * time.Hour} {
			rec := t.create(t.record())
			rec.ExpiresAt = t.clock.now().Add(-back)
			rec = t.update(rec)
			t.wantExpired("expired by an Update", rec.ID)
			rec.Version++
			rec.ExpiresAt = t.clock.now().Add(life)
			t.want("Update of what an Update expired", t.store.Update(t.ctx, rec), core.ErrNotFound)
			t.want("Touch of what an Update expired", t.store.Touch(t.ctx, rec.ID, t.clock.now(), rec.ExpiresAt), core.ErrNotFound)
			t.wantExpired("after that", rec.ID)
			rec.Version = 1
			t.wantStored("created anew", t.create(rec))
		}
	}},

	{"touch", "Touch moves LastAccess and ExpiresAt forward and changes nothing else, not even the version.", func(t *trial) {
		rec := t.create(t.fullRecord())
		for range 2 {
			access, expires := rec.LastAccess.Add(10*time.Minute+1*time.Millisecond), rec.ExpiresAt.Add(20*time.Minute+3*time.Millisecond)
			t.want("Touch", t.store.Touch(t.ctx, rec.ID, access, expires), nil)
			rec.LastAccess, rec.ExpiresAt = access, expires
			t.wantStored("touched", rec)
		}
		rec.Values, rec.User = []byte("updated"), "another"
		rec = t.update(rec)
		t.wantStored("touched, then updated from the same version", rec)
		rec.LastAccess, rec.ExpiresAt = rec.LastAccess.Add(time.Second), rec.ExpiresAt.Add(time.Second)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), nil)
		t.wantStored("updated, then touched", rec)
	}},
	{"touch-backwards", "Touch moves each time only if the new one is later than the stored one.", func(t *trial) {
		rec := t.create(t.fullRecord())
		touch := func(what string, access, expires time.Duration) {
			t.Helper()
			at, end := rec.LastAccess.Add(access), rec.ExpiresAt.Add(expires)
			t.want("Touch "+what, t.store.Touch(t.ctx, rec.ID, at, end), nil)
			if at.After(rec.LastAccess) {
				rec.LastAccess = at
			}
			if end.After(rec.ExpiresAt) {
				rec.ExpiresAt = end
			}
			t.wantStored("after a Touch "+what, rec)
		}
		touch("with the stored times", 0, 0)
		touch("backwards", -time.Minute, -time.Minute)
		touch("backwards by a millisecond", -time.Millisecond, -time.Millisecond)
		touch("with only a later access", time.Minute, -time.Minute)
		touch("with only a later expiry", -time.Minute, time.Minute)
		touch("forward by a millisecond", time.Millisecond, time.Millisecond)
		touch("that would have expired it", 0, -100*life)
	}},
	{"touch-prolongs", "A record that was touched lives until the new ExpiresAt.", func(t *trial) {
		rec := t.create(t.record())
		first := rec.ExpiresAt
		rec.ExpiresAt = first.Add(life + 1*time.Millisecond)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), nil)
		t.clock.set(first)
		t.wantStored("at its first end", rec)
		t.clock.set(rec.ExpiresAt.Add(-time.Millisecond))
		t.wantStored("a millisecond before its new end", rec)
		t.clock.set(rec.ExpiresAt)
		t.wantExpired("at its new end", rec.ID)
	}},
	{"touch-absent", "Touch answers ErrNotFound where there is no live record, and creates nothing.", func(t *trial) {
		rec := t.record()
		t.want("Touch of what never was", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), core.ErrNotFound)
		t.wantAbsent("after that", rec.ID)
		t.create(rec)
		t.delete(rec.ID)
		t.want("Touch of a deleted record", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), core.ErrNotFound)
		t.wantAbsent("after that", rec.ID)
		rec = t.record()
		rec.ID = newID()
		t.want("Create after it", t.store.Create(t.ctx, rec), nil)
	}},

	{"delete", "Delete removes the record, whatever its version, and reports whether a live one was there; an absent one is no error.", func(t *trial) {
		want := func(what string, id core.ID, want bool) {
			t.Helper()
			existed, err := t.store.Delete(t.ctx, id)
			t.want("Delete of "+what, err, nil)
			if existed != want {
				t.Errorf("Delete of %s: existed is %t, want %t", what, existed, want)
			}
			t.wantAbsent("after Delete of "+what, id)
		}
		want("what never was", newID(), false)
		rec := t.create(t.record())
		other := t.create(t.record())
		want("a record", rec.ID, true)
		want("a deleted record", rec.ID, false)
		rec = t.update(t.update(t.create(t.fullRecord())))
		want("a record of version 3", rec.ID, true)
		want("it again", rec.ID, false)
		t.wantStored("another record", other)
	}},
	{"delete-expired", "To delete a record that has expired is no error, and reports that no live one was there.", func(t *trial) {
		rec := t.create(t.fullRecord())
		t.clock.set(rec.ExpiresAt)
		existed, err := t.store.Delete(t.ctx, rec.ID)
		t.want("Delete of an expired record", err, nil)
		if existed {
			t.Error("Delete of an expired record: existed is true, want false")
		}
		t.wantAbsent("an expired record that was deleted", rec.ID)
	}},

	{"expiry", "A record is served until a millisecond before its ExpiresAt, and from then on no verb finds it, swept or not.", func(t *trial) {
		verbs := []struct {
			name string
			call func(rec core.Record) error
		}{
			{"Load", func(rec core.Record) error {
				_, err := t.store.Load(t.ctx, rec.ID)
				return err
			}},
			{"Update", func(rec core.Record) error {
				rec.Version++
				return t.store.Update(t.ctx, rec)
			}},
			{"Update that would prolong it", func(rec core.Record) error {
				rec.Version++
				rec.ExpiresAt = rec.ExpiresAt.Add(life)
				return t.store.Update(t.ctx, rec)
			}},
			{"Update of the wrong version", func(rec core.Record) error {
				rec.Version += 2
				return t.store.Update(t.ctx, rec)
			}},
			{"Touch", func(rec core.Record) error {
				return t.store.Touch(t.ctx, rec.ID, t.clock.now(), rec.ExpiresAt.Add(life))
			}},
		}
		for _, verb := range verbs {
			rec := t.create(t.fullRecord())
			t.clock.set(rec.ExpiresAt.Add(-time.Millisecond))
			t.wantStored("a millisecond before its end", rec)
			t.clock.set(rec.ExpiresAt)
			for range 2 { // twice: the first may have brought it back
				err := verb.call(rec)
				if verb.name == "Load" {
					t.wantExpired("at its end", rec.ID)
				} else {
					t.want(verb.name+" of an expired record", err, core.ErrNotFound)
				}
			}
			t.wantExpired("after "+verb.name, rec.ID)
			t.clock.advance(100 * life)
			t.wantExpired("long after "+verb.name, rec.ID)
		}
		for _, verb := range verbs {
			if verb.name == "Update of the wrong version" {
				continue
			}
			rec := t.create(t.fullRecord())
			t.clock.set(rec.ExpiresAt.Add(-time.Millisecond))
			t.want(verb.name+" a millisecond before the end", verb.call(rec), nil)
		}
	}},

	{"values-not-written", "A record handed to a store is never changed by it, its Values included.", func(t *trial) {
		// Room behind the values shows a store that appends to them.
		room := bytes.Repeat([]byte("x"), 200)
		rec := t.record()
		rec.Values = room[:100]
		copy(rec.Values, "created")
		first := bytes.Clone(room)
		t.create(rec)
		second := bytes.Repeat([]byte("y"), 200)
		next := rec
		next.Values = second[:100]
		next = t.update(next)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, t.clock.now().Add(time.Minute), rec.ExpiresAt.Add(time.Minute)), nil)
		third := bytes.Repeat([]byte("z"), 200)
		next.Values = third[:50]
		t.update(next)
		t.delete(rec.ID)
		if !bytes.Equal(room, first) {
			t.Error("the store wrote into the Values that Create was given")
		}
		if !bytes.Equal(second, bytes.Repeat([]byte("y"), 200)) || !bytes.Equal(third, bytes.Repeat([]byte("z"), 200)) {
			t.Error("the store wrote into the Values that Update was given")
		}
	}},
	{"values-not-shared", "A record handed out by a store is never changed afterwards, its Values included.", func(t *trial) {
		rec := t.record()
		rec.Values = bytes.Repeat([]byte("a"), 100)
		t.create(rec)
		var held []core.Record
		var kept [][]byte
		hold := func() {
			t.Helper()
			got, err := t.store.Load(t.ctx, rec.ID)
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			held, kept = append(held, got), append(kept, bytes.Clone(got.Values))
		}
		hold()
		for _, b := range []string{"b", "c", "d"} {
			hold()
			rec.Values = bytes.Repeat([]byte(b), 100) // the same size: room to write in place
			rec = t.update(rec)
			hold()
			t.want("Touch", t.store.Touch(t.ctx, rec.ID, t.clock.now(), rec.ExpiresAt.Add(time.Minute)), nil)
			rec.ExpiresAt = rec.ExpiresAt.Add(time.Minute)
			hold()
		}
		t.delete(rec.ID)
		for range 10 { // room may be used again for others
			other := t.record()
			other.Values = bytes.Repeat([]byte("o"), 100)
			t.create(other)
		}
		for i, got := range held {
			if !bytes.Equal(got.Values, kept[i]) {
				t.Errorf("Values of Load %d were %s and are now %s", i, excerpt(kept[i]), excerpt(got.Values))
			}
		}
	}},
	{"many", "Records do not get in each other's way.", func(t *trial) {
		recs := make([]core.Record, 200)
		for i := range recs {
			recs[i] = t.record()
			recs[i].Values = fmt.Appendf(nil, "record %d", i)
			if i%3 == 0 {
				recs[i].User = fmt.Sprintf("user %d", i%5)
			}
			t.create(recs[i])
		}
		for i := range recs {
			switch i % 4 {
			case 1:
				recs[i].Values = append(recs[i].Values, " updated"...)
				recs[i] = t.update(recs[i])
			case 2:
				t.delete(recs[i].ID)
			}
		}
		for i, rec := range recs {
			if i%4 == 2 {
				t.wantAbsent(fmt.Sprintf("record %d, deleted", i), rec.ID)
			} else {
				t.wantStored(fmt.Sprintf("record %d", i), rec)
			}
		}
	}},
}

// oddUsers are names that quoting, collation, splitting or a column's length
// may spoil.
var oddUsers = []string{
	"a", "user@example.com", "O'Brien", `"quoted"`, `back\slash`, "semi;colon", "per%cent", "under_score", "a*b?c[d]",
	"with space", " space before", "space after ", "  ", "tab\there", "line\nbreak", "\x01\x1f\x7f", "null", "NULL", "0", "-1",
	"../../etc/passwd", "a/b", "a:b", "{a}", "a|b", "a,b", "$1", "?", ":name", "'; DROP TABLE sessions; --",
	"Straße", "STRASSE", "Größe", "日本語", "👩‍💻", "e\u0301", "é", "\u202eright to left", "\ufeffmark", "\u0130\u0131",
	"zero\x00byte", "\x00", "a\x00", "\xff\xfe is no UTF-8", "\xc3", "\xed\xa0\x80", strings.Repeat("\xff", 255),
	strings.Repeat("x", 255), strings.Repeat("ü", 127) + "x", strings.Repeat("日", 85), strings.Repeat("%", 255),
}

// oddIDs are IDs that a text form, a signed number, a trimmed key or a file
// name may spoil.
var oddIDs = []core.ID{
	{0: 1},
	{15: 1},
	{7: 1},
	{15: 0xff},
	{0: 0x80},
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, // ____________________w
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe},
	{0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb}, // ---------------------w
	{0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb}, // -_-_-_-_
	{' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '},
	{'a', '\'', '"', '\\', '%', '*', '/', '.', ':', '{', '}', '\r', '\n', 0, 0, 0},
	mustParse("BBBBBBBBBBBBBBBBBBBBBA"), // these two differ only in case, as text
	mustParse("bbbbbbbbbbbbbbbbbbbbbA"),
	mustParse("CON-aaaaaaaaaaaaaaaaaA"),
	mustParse("con-aaaaaaaaaaaaaaaaaA"),
}

func mustParse(text string) core.ID {
	id, err := core.ParseID(text)
	if err != nil {
		panic(err)
	}
	return id
}
