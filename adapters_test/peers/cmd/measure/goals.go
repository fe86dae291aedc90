package main

import (
	"fmt"

	"github.com/coatcheck/sessions/adapters_test/peers"
)

// goal is a line of the table of goals: what is wanted, and the comparisons
// that show whether it is so.
type goal struct {
	area string
	want string
	// why explains a miss: what the profile shows, and what would be needed.
	why   string
	tests []test
}

// test is one comparison.
type test struct {
	what  string
	got   func(r *results) estimate
	least float64 // if not 0
	most  float64 // if least is 0
	unit  string
}

// outcome is what a test came to.
type outcome int

const (
	unmeasured outcome = iota
	met
	missed
)

// result judges by the median.
func (t test) result(r *results) (estimate, outcome) {
	e := t.got(r)
	switch {
	case !e.ok():
		return e, unmeasured
	case t.least != 0 && e.mid >= t.least, t.least == 0 && e.mid <= t.most:
		return e, met
	}
	return e, missed
}

func (t test) bound() string {
	if t.least != 0 {
		return fmt.Sprintf("≥ %s%s", number(t.least), t.unit)
	}
	return fmt.Sprintf("≤ %s%s", number(t.most), t.unit)
}

const (
	defaultMemory = "sessions-memory-securecookie"
	leanMemory    = "sessions-memory-aesgcm"
	defaultCookie = "sessions-cookie-securecookie"
	leanCookie    = "sessions-cookie-aesgcm"
)

// faster is how many times the first takes as long as the second.
func faster(what, slow, fast string, least float64) test {
	return test{what, func(r *results) estimate { return r.ratio(slow, fast, "ns/op") }, least, 0, "×"}
}

// atMost compares a figure with a bound.
func atMost(what, bench, unit string, most float64, suffix string) test {
	return test{what, func(r *results) estimate { return r.get(bench, unit) }, 0, most, suffix}
}

// added is how many allocations one figure has more than another.
func added(what, bench, bare string, most float64) test {
	return test{what, func(r *results) estimate { return less(r.allocs(bench), r.allocs(bare).mid) }, 0, most, " allocs"}
}

// less subtracts a constant.
func less(e estimate, v float64) estimate {
	if e.ok() {
		e.mid, e.low, e.high = e.mid-v, e.low-v, e.high-v
	}
	return e
}

// versus are the tests of one scenario on one framework against a peer.
func versus(scenario, framework, peer, peerName string, defaults, lean string, leastDefault, leastLean float64) []test {
	at := scenario + "/" + framework + "/"
	return []test{
		faster(fmt.Sprintf("%s, default, against %s", scenario, peerName), at+peer, at+defaults, leastDefault),
		faster(fmt.Sprintf("%s, lean, against %s", scenario, peerName), at+peer, at+lean, leastLean),
	}
}

func join(parts ...[]test) (all []test) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

const sealerWhy = "The format of the default sealer asks for an HMAC over a text that is base64 inside base64: a fifth of the time of S3 in memory, although nothing is allocated. AES-GCM takes half of that. A format without the second base64 would be needed, and no cookie of gorilla/securecookie would open any more. "

const stateWhy = "A third of the time is what S1 takes too. "

// goals are those of the project, in its order.
func goals(sessions int) []goal {
	most := fmt.Sprintf("Growth/chi/%s/sessions=%d/", leanMemory, sessions)
	grown := func(scenario string) func(*results) estimate {
		return func(r *results) estimate {
			return r.ratio(most+scenario+"@2", "Growth/chi/"+leanMemory+"/sessions=1000/"+scenario+"@2", "ns/op")
		}
	}
	own := float64(peers.Small.Bytes()) * 4 / 3
	return []goal{
		{area: "S1, S2", want: "at most 2 allocations and 1.6 times bare chi; no store call, nothing opened",
			why: "By its profile, half of S1 is the layer's. Half of that is the allocation of 512 bytes, with the collector's work for it; 304 of them are the copy of the request that net/http asks for to give it a context, and the making of that copy is a sixth. The rest is the mutex of the session, which is taken at the first byte and at the end because a handler may have shared it, and finding out what the response writer can do. A way to pass a session on without a copy of the request is what would be needed.",
			tests: join(untouched("S1", defaultMemory), untouched("S2", defaultMemory), untouched("S2", leanCookie), []test{
				atMost("S2: round trips to Redis", "Redis/chi/sessions-redis-aesgcm/S2/clients=1@2", "trips/op", 0, "")})},
		{area: "S3 memory", want: "default: at least 8 times faster than scs, no slower than scs with msgp; lean: at least 14 times, and 1.5 times faster than scs with msgp; at most 18 and 7 allocations",
			why: sealerWhy + stateWhy + "The clock, which manager, store and seal each read for themselves, takes 7%, the load from the store 5%, most of it copying 328 bytes, 168 of which are seven times; the SHA-256 of the proof takes 4%, emptying the state for the next request 4%. 14 times scs would leave 0.6 µs for all of that. What would be needed: one reading of the clock for manager and store, and records that hold integers in place of times, both of which the contract of stores would have to ask of every store. scs' tokens are not sealed at all.",
			tests: join(versus("S3", "chi", "scs", "scs", defaultMemory, leanMemory, 8, 14),
				versus("S3", "chi", "scs-msgp", "scs with msgp", defaultMemory, leanMemory, 1, 1.5),
				[]test{added("S3, default: allocations", "S3/chi/"+defaultMemory, "S3/chi/bare", 18), added("S3, lean: allocations", "S3/chi/"+leanMemory, "S3/chi/bare", 7)})},
		{area: "S3 cookie-only", want: "default: at least 7 times gorilla; lean: at least 14 times, 3 times gorilla with msgp; at most 18 and 8 allocations",
			why: sealerWhy + stateWhy + "With AES-GCM a quarter is opening the cookie, 363 characters of base64; a twelfth is reading the record and the check that its content is well formed, which is needed since a cookie may come from another version of the program; a fifth is the allocation of memory. What would be needed: a cheaper S1, and to open the cookie in memory that is used again, which the content outlives today.",
			tests: join(versus("S3", "chi", "gorilla-cookie", "gorilla (signed)", defaultCookie, leanCookie, 7, 14),
				[]test{faster("S3, lean, against gorilla with msgp", "S3/chi/gorilla-cookie-msgp", "S3/chi/"+leanCookie, 3),
					added("S3, default: allocations", "S3/chi/"+defaultCookie, "S3/chi/bare", 18), added("S3, lean: allocations", "S3/chi/"+leanCookie, "S3/chi/bare", 8)})},
		{area: "S4 memory", want: "default: at least 10 times scs and faster than scs with msgp; lean: 18 times, 1.8 times scs with msgp",
			why: sealerWhy + "A fifth to a quarter is the allocation of memory; the clock takes 7 to 9%, asked by manager and store at the load and again when the change is stored, since other requests may have stored a later time meanwhile. The scenario counts with Key.Update, whose function may run again if another request was first, so it is kept: two allocations that Get and Set do without. What would be needed is what S1 and S3 need.",
			tests: join(versus("S4", "chi", "scs", "scs", defaultMemory, leanMemory, 10, 18),
				versus("S4", "chi", "scs-msgp", "scs with msgp", defaultMemory, leanMemory, 1, 1.8))},
		{area: "S4 cookie-only", want: "default: 5 times gorilla; lean: 14 times; 1.5 and 4 times gorilla with msgp",
			why: sealerWhy + "A write in the cookie-only mode opens one cookie, 15% with AES-GCM, and makes another, 27%: packed, sealed, written as a line. The allocation of memory, most of it there, is 28%. What would be needed: buffers for packing and sealing that are used again.",
			tests: join(versus("S4", "chi", "gorilla-cookie", "gorilla (signed)", defaultCookie, leanCookie, 5, 14),
				versus("S4", "chi", "gorilla-cookie-msgp", "gorilla with msgp", defaultCookie, leanCookie, 1.5, 4))},
		{area: "S5", want: "default: 2.2 times scs and gorilla; lean: 4 times",
			why: sealerWhy + "A login here makes an ID, a proof and its hash and seals them, a quarter of the time with the default sealer, and the store puts the session among those of its user and into the order that a full store goes by, a third; the others do neither. What would be needed: indexes that are made when they are first asked for, so that the first listing would pay for all.",
			tests: join(versus("S5", "chi", "scs", "scs", defaultMemory, leanMemory, 2.2, 4),
				versus("S5", "chi", "gorilla-cookie", "gorilla (signed)", defaultCookie, leanCookie, 2.2, 4))},
		{area: "S6 8 KB", want: "15 times scs, 4 times scs with msgp; writing one of 100 keys copies bytes",
			why: stateWhy + "A key is found by going over the entries before it, without decoding them.",
			tests: join(versus("S6", "chi", "scs", "scs", defaultMemory, leanMemory, 15, 15),
				versus("S6", "chi", "scs-msgp", "scs with msgp", defaultMemory, leanMemory, 4, 4),
				[]test{faster("S6w, lean, against scs", "S6w/chi/scs", "S6w/chi/"+leanMemory, 10)})},
		{area: "S7", want: "two cores give at least 1.7 times one core; S7w within 1.3 times of S4 per operation",
			why: "S7w goes over 100,000 sessions, S4 over one. By the profiles the whole difference is memory that no cache holds: finding the entry takes 0.6 µs in place of 0.1, the first look at its values 0.15, copying them 0.3 in place of 0.1, and storing them 0.3 in place of 0.1; the collector takes no more than before. The reads lose as much. What would be needed: entry and values side by side, in one allocation in place of two.",
			tests: []test{
				{"S7r, lean: two cores over one", func(r *results) estimate {
					return r.ratio("S7/chi/"+leanMemory+"/r", "S7/chi/"+leanMemory+"/r@2", "ns/op")
				}, 1.7, 0, "×"},
				{"S7w, lean: two cores over one", func(r *results) estimate {
					return r.ratio("S7/chi/"+leanMemory+"/w", "S7/chi/"+leanMemory+"/w@2", "ns/op")
				}, 1.7, 0, "×"},
				{"S7w over S4, lean, one core", func(r *results) estimate { return r.ratio("S7/chi/"+leanMemory+"/w", "S4/chi/"+leanMemory, "ns/op") }, 0, 1.3, "×"},
			}},
		{area: "Gin", want: "the same ratios to gin-contrib/sessions; at most 3 allocations more than chi's", why: sealerWhy + stateWhy,
			tests: join(versus("S3", "gin", "gin-contrib-memstore", "gin-contrib, memory", defaultMemory, leanMemory, 8, 14),
				versus("S3", "gin", "gin-contrib-cookie", "gin-contrib, cookie", defaultCookie, leanCookie, 7, 14),
				versus("S4", "gin", "gin-contrib-memstore", "gin-contrib, memory", defaultMemory, leanMemory, 10, 18),
				versus("S4", "gin", "gin-contrib-cookie", "gin-contrib, cookie", defaultCookie, leanCookie, 5, 14),
				versus("S5", "gin", "gin-contrib-cookie", "gin-contrib, cookie", defaultCookie, leanCookie, 2.2, 4),
				[]test{overChi("gin")})},
		{area: "Echo", want: "the same ratios to echo-contrib; at most 3 allocations more than chi's", why: sealerWhy + stateWhy,
			tests: join(versus("S3", "echo4", "echo-contrib-memstore", "echo-contrib, memory", defaultMemory, leanMemory, 8, 14),
				versus("S3", "echo4", "echo-contrib-cookie", "echo-contrib, cookie", defaultCookie, leanCookie, 7, 14),
				versus("S4", "echo4", "echo-contrib-memstore", "echo-contrib, memory", defaultMemory, leanMemory, 10, 18),
				versus("S4", "echo4", "echo-contrib-cookie", "echo-contrib, cookie", defaultCookie, leanCookie, 5, 14),
				versus("S5", "echo4", "echo-contrib-cookie", "echo-contrib, cookie", defaultCookie, leanCookie, 2.2, 4),
				[]test{overChi("echo4"), overChi("echo5")})},
		{area: "HTTP", want: "S3 with the memory store: at least 80% (lean) and 65% (default) of the bare server's requests per second",
			why: "Of what S3 adds to a request over loopback, half is the layer itself, as above; the rest is what every session costs a server, a Cookie header to read and a Vary header to write, and the collector's work for both. The loader is at its limit with the bare server and with S1, so that those could be faster still. The figure differs from run to run by more than any other here. What would be needed: a cheaper S3, and a loader on another machine to say by how much.",
			tests: []test{
				{"S3, lean, of bare chi", func(r *results) estimate {
					return r.ratio("HTTP/S3/chi/"+leanMemory, "HTTP/S3/chi/bare", "req/s")
				}, 0.8, 0, "×"},
				{"S3, default, of bare chi", func(r *results) estimate {
					return r.ratio("HTTP/S3/chi/"+defaultMemory, "HTTP/S3/chi/bare", "req/s")
				}, 0.65, 0, "×"},
			}},
		{area: "memory", want: "at most 350 B and 1 object per session beyond the values' own bytes plus a third; a full collection with a million sessions under 0.1 s; " +
			"no pause above 20 ms while a million expire; operations cost the same at 10^3 and 10^6 sessions, within 1.5 times",
			why: "At a million sessions each one that is picked at random lies in memory that no cache holds: the map, the entry and the values are a miss each, and so is every entry of the page table. A pause is that of the garbage collector or of the machine's other work if it is there without a sweep as well; the table of sweeps shows both.",
			tests: []test{
				{"bytes per session beyond the values", func(r *results) estimate { return less(r.get(most+"memory@2", "B/session"), own) }, 0, 350, " B"},
				{"objects per session beyond the values", func(r *results) estimate { return less(r.get(most+"memory@2", "objects/session"), 1) }, 0, 1.05, ""},
				{"a full collection", func(r *results) estimate { return scaled(r.ns(most+"collection@2"), 1e-6) }, 0, 100, " ms"},
				{"the longest request during a sweep", func(r *results) estimate {
					return scaled(r.get("Sweep/chi/"+leanMemory+"/sweep@2", "max-ns"), 1e-6)
				}, 0, 20, " ms"},
				{"S3 at the most sessions over S3 at 1,000", grown("S3"), 0, 1.5, "×"},
				{"S4 at the most sessions over S4 at 1,000", grown("S4"), 0, 1.5, "×"},
			}},
		{area: "cookie size", want: "at most 160 bytes (default) and 100 (lean) for a session on the server; cookie-only, 5 keys, encrypted: at most 0.95 and 0.65 of gorilla's",
			tests: []test{
				atMost("S3, memory, default", "S3/chi/"+defaultMemory, "cookie-B", 160, " B"),
				atMost("S3, memory, lean", "S3/chi/"+leanMemory, "cookie-B", 100, " B"),
				{"cookie-only, default, of gorilla's", func(r *results) estimate {
					return r.ratio("S3/chi/"+defaultCookie, "S3/chi/gorilla-cookie-encrypted", "cookie-B")
				}, 0, 0.95, "×"},
				{"cookie-only, lean, of gorilla's", func(r *results) estimate {
					return r.ratio("S3/chi/"+leanCookie, "S3/chi/gorilla-cookie-encrypted", "cookie-B")
				}, 0, 0.65, "×"},
			}},
		{area: "Redis, SQL", want: "one round trip per reading request, one more for a write (two if it must touch an index), none for untouched pages; " +
			"at 128 concurrent clients at least 3 times scs with goredisstore and with pgxstore on the same server",
			why: "The server and its clients share two cores here, so that at 128 clients it is the server that is waited for, and every library waits alike: what is left to win is the library's own time and, with Redis, system calls saved by pipelining. " +
				"With a server on a machine of its own the library's share weighs more. Reading through database/sql costs more than through a driver's own pool, which pgxstore uses. What would be needed: to see the goal at all, a server on another machine; for PostgreSQL, a store on pgx itself.",
			tests: []test{
				atMost("Redis, S2: round trips", "Redis/chi/sessions-redis-securecookie/S2/clients=1@2", "trips/op", 0, ""),
				atMost("Redis, S3: round trips", "Redis/chi/sessions-redis-securecookie/S3/clients=1@2", "trips/op", 1.05, ""),
				atMost("Redis, S4: round trips, with that of the read", "Redis/chi/sessions-redis-securecookie/S4/clients=1@2", "trips/op", 2.05, ""),
				atMost("Redis, S5: round trips, with that of the index", "Redis/chi/sessions-redis-securecookie/S5/clients=1@2", "trips/op", 2.05, ""),
				atMost("PostgreSQL, S3: round trips", "Postgres/chi/sessions-sql-securecookie/S3/clients=1@2", "trips/op", 1.05, ""),
				atMost("PostgreSQL, S4: round trips, with that of the read", "Postgres/chi/sessions-sql-securecookie/S4/clients=1@2", "trips/op", 2.05, ""),
				faster("Redis, S3 at 128 clients, default, against scs", "Redis/chi/scs-goredisstore/S3/clients=128@2", "Redis/chi/sessions-redis-securecookie/S3/clients=128@2", 3),
				faster("Redis, S4 at 128 clients, default, against scs", "Redis/chi/scs-goredisstore/S4/clients=128@2", "Redis/chi/sessions-redis-securecookie/S4/clients=128@2", 3),
				faster("PostgreSQL, S3 at 128 clients, default, against scs", "Postgres/chi/scs-pgxstore/S3/clients=128@2", "Postgres/chi/sessions-sql-securecookie/S3/clients=128@2", 3),
				faster("PostgreSQL, S4 at 128 clients, default, against scs", "Postgres/chi/scs-pgxstore/S4/clients=128@2", "Postgres/chi/sessions-sql-securecookie/S4/clients=128@2", 3),
			}},
	}
}

// untouched are the tests of a page that does not use its session.
func untouched(scenario, ours string) []test {
	at := scenario + "/chi/"
	return []test{
		{scenario + ", " + ours + ", over bare chi", func(r *results) estimate { return r.ratio(at+ours, at+"bare", "ns/op") }, 0, 1.6, "×"},
		added(scenario+", "+ours+": allocations", at+ours, at+"bare", 2),
	}
}

// overChi compares what an adapter allocates with what chi's does, each over
// its bare framework.
func overChi(framework string) test {
	return test{"S3, " + framework + ", lean: allocations more than chi's", func(r *results) estimate {
		over := func(f string) estimate { return less(r.allocs("S3/"+f+"/"+leanMemory), r.allocs("S3/"+f+"/bare").mid) }
		return less(over(framework), over("chi").mid)
	}, 0, 3, ""}
}

func scaled(e estimate, by float64) estimate {
	e.mid, e.low, e.high = e.mid*by, e.low*by, e.high*by
	return e
}
