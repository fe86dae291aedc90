package main

import (
	"fmt"

	"github.com/coatcheck/sessions/adapters_test/peers"
)

// costsPage is docs/costs.md.
func costsPage(r *results) string {
	p := &page{}
	base := func(id string) string { return "Options/" + id + "/default" }
	p.line(`# What each option costs

The time that a request spends on its session, by how the manager is configured, on Chi, with a session of 5 keys and some 200 bytes: S3 reads two values, S4 adds 1 to a
counter, which is saved. The times include the router; a page that does not use its session takes %s, and without the middleware %s.
The figures come from the same run as [performance.md](performance.md), which has the machine and the method.
`, duration(r.ns("S2/chi/"+defaultMemory).mid), duration(r.ns("S2/chi/bare").mid))
	rows := [][]string{{"", "S3", "over the default", "allocations", "S4", "over the default", "allocations", "cookie"}}
	for _, o := range peers.Options {
		row := []string{o.Text}
		if o.Name == "default" {
			row[0] = "**the default:** " + o.Text
		}
		for _, id := range []string{"S3", "S4"} {
			at := "Options/" + id + "/" + o.Name
			over := "-"
			if e := r.ratio(at, base(id), "ns/op"); e.ok() && o.Name != "default" {
				over = e.times() + "×"
			}
			row = append(row, duration(r.ns(at).mid), over, number(r.allocs(at).mid))
		}
		row = append(row, number(r.get("Options/S3/"+o.Name, "cookie-B").mid)+" B")
		rows = append(rows, row)
	}
	p.table(rows)
	cell := func(id, name string) string { return duration(r.ns("Options/" + id + "/" + name).mid) }
	p.line("## How to choose\n")
	p.line("* **Sealer.** `core.SecureCookie` is the format of gorilla/securecookie, which many have read; `core.AESGCM` is the standard library's AES-GCM: %s in place of %s to read, and a shorter cookie. Both hold the same promises. Changing it logs everybody out.",
		cell("S3", "aesgcm"), cell("S3", "default"))
	p.line("* **Store.** The memory store is the fastest and dies with the process. The cookie store needs no server, and its cookie grows with the session: every request carries it. The file store reads a file per request, and waits for the disk at every write. "+
		"With Redis or SQL the round trip is what you pay%s.", remoteNote(r))
	p.line("* **TouchInterval.** By default a session that is only read stores its access time once in a tenth of `IdleTimeout`. The row above is the worst there is: at every request. In the memory store that is next to nothing; with Redis or SQL it is one round trip more, with the cookie store a new cookie.")
	p.line("* **Exclusive.** A lock is taken and the session loaded a second time under it. What it costs beyond that is the waiting: requests of one session queue up. Without it they run side by side, and their changes are merged.")
	p.line("* **OnEvent.** A call of your function at every load and save. A `Logger` at debug level costs more than that: every event becomes a line.")
	p.line("* **CountRequests.** Makes every request that uses its session a write: little in memory, a second round trip with a server.")
	p.line("* **Codec.** Values are encoded one by one, so the codec matters for what a request touches and not for what the session holds. JSON is for stores that other programs read.")
	p.line("* **Secrets.** Each older secret is tried in turn on a cookie that the newest did not seal, and such a cookie is sealed anew, once. With the newest secret, older ones cost nothing.")
	p.line("* **Key.Update** costs %s where `Get` and `Set` cost %s: it keeps its function, to run it again if another request was first.", cell("S4", "default"), cell("S4", "get-set"))
	p.line("* **Many keys.** Reading a value does not decode the others: with 100 keys and 8 KB, S3 takes %s and S4 %s with the default sealer.", duration(r.ns("S6/chi/"+defaultMemory).mid), duration(r.ns("S6w/chi/"+defaultMemory).mid))
	return p.String()
}

func remoteNote(r *results) string {
	redis, sql := r.ns("Redis/chi/sessions-redis-securecookie/S3/clients=1@2"), r.ns("Postgres/chi/sessions-sql-securecookie/S3/clients=1@2")
	if !redis.ok() || !sql.ok() {
		return ""
	}
	return fmt.Sprintf(": on one machine, one client at a time, S3 takes %s with Redis and %s with PostgreSQL", duration(redis.mid), duration(sql.mid))
}
