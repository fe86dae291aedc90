package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coatcheck/sessions/adapters_test/peers"
)

// page is Markdown being written.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// table writes a table whose first row is the head.
func (p *page) table(rows [][]string) {
	for i, row := range rows {
		p.line("| %s |", strings.Join(row, " | "))
		if i == 0 {
			p.line("|%s", strings.Repeat("---|", len(row)))
		}
	}
	p.line("")
}

// performancePage is docs/performance.md.
func performancePage(r *results) string {
	p := &page{}
	p.line(`# Performance

What sessions cost per request, beside the libraries in use today and beside no sessions at all. Every figure on this page comes from one run of

` + "```sh\ngo run ./adapters_test/peers/cmd/measure\n```" + `

on a clean clone; this page is its output. Do not edit it. The raw results are in [performance/raw.txt](performance/raw.txt), in the format of
benchstat. What the options of the library cost is in [costs.md](costs.md).
`)
	p.method(r)
	p.goals(r)
	p.line("## Requests\n\nNanoseconds per request, and allocations. The interval is that of the median. *Default* is the sealer `core.SecureCookie`, *lean* is `core.AESGCM`.\n")
	p.line("![S3](performance/requests.svg)\n\n![S4](performance/writes.svg)\n")
	for _, f := range []string{"chi", "gin", "echo4", "echo5", "fiber", "nethttp"} {
		p.requests(r, f)
	}
	p.ratios(r)
	p.parallel(r)
	p.http(r)
	p.memory(r)
	p.sweeps(r)
	p.remote(r, "Redis", "Redis", peers.OnRedis)
	p.remote(r, "Postgres", "PostgreSQL", peers.OnPostgres)
	p.line(`## What the figures leave out

Time is not all that differs. This library keeps a version and the hash of a proof with every session and replays lost updates; the others overwrite
each other's ([guarantees.md](guarantees.md) has the list, with tests). scs sends tokens that are not signed, so junk reaches its store; gorilla/sessions and
gin-contrib/sessions cannot renew a token; Fiber's middleware stores every session at every request.`)
	return p.String()
}

func (p *page) method(r *results) {
	f := r.facts
	p.line("## Machine and method\n")
	p.line("%s, %s cores, %s, %s, %s, commit %s, measured on %s; load average before: %s.\n", f["cpu"], f["cores"], f["kernel"], f["go"], f["goarch"], f["commit"], f["date"], f["load-before"])
	p.line("%s passes (%s for what fills stores with %s sessions), each of which runs every benchmark once for %s or a multiple of it. Figures are medians over the passes; "+
		"“±” and ranges are the interval that holds the median with %.0f%% confidence (order statistics, no distribution assumed). A ratio is taken within each pass first, so that a machine that "+
		"slows down does so for both sides.\n", f["passes"], f["heavy-passes"], f["sessions"], f["benchtime"], 100*r.ns("S3/chi/"+leanMemory).confidence)
	p.line(`A request is made once and used again; the response is thrown away; it passes the framework's router and every middleware. Sequential scenarios run on one
processor, so that the garbage collector's work counts. Sessions hold 5 keys, some 200 bytes, if not said otherwise. Each library is used as its documentation has it,
with the same attributes of the cookie. *msgp* is MessagePack in place of gob, through the hook that the library has for it. Before a column is timed, it is checked: what is read is what
was written, the counter counts, a renewed token ends the old one. Answers other than 200 fail the benchmark.
`)
	rows := [][]string{{"", "scenario"}}
	for _, s := range peers.Scenarios {
		rows = append(rows, []string{s.ID, s.Text})
	}
	p.table(rows)
	p.line("S8 asks each library to keep a session alive that is only read: scs has its idle timeout set, gorilla/sessions and its wrappers save, Fiber does so always, and here a touch is due at every request, which by default happens once in three minutes. " +
		"In S9 a browser follows: each request brings the cookie that the last one set. Libraries that cannot renew a token are not in it, except where the cookie is all there is.\n")
	p.line("Versions: %s.", strings.Join(short(r.versions), ", "))
	for _, name := range []string{"redis", "postgres"} {
		if v := f[name]; v != "" {
			p.line("%s.", v)
		}
	}
	p.line("")
	for _, s := range r.skipped {
		p.line("**Not measured:** %s\n", s)
	}
}

// short drops the host that almost all modules share.
func short(versions []string) (out []string) {
	for _, v := range versions {
		out = append(out, strings.TrimPrefix(v, "github.com/"))
	}
	slices.Sort(out)
	return out
}

var marks = map[outcome]string{met: "met", missed: "**missed**", unmeasured: "not measured"}

func (p *page) goals(r *results) {
	p.line("## Goals\n\nThe goals were set before the library was written, from a sketch that did less than it does now. They stay; where one is missed, the reason follows.\n")
	var list []goal
	all := goals(atoi(r.facts["sessions"]))
	rows := [][]string{{"", "goal", "came to"}}
	for _, g := range all {
		verdict := met
		good := 0
		for _, t := range g.tests {
			_, o := t.result(r)
			if o == met {
				good++
			}
			if o == missed || o == unmeasured && verdict != missed {
				verdict = o
			}
		}
		if verdict == missed {
			list = append(list, g)
		}
		rows = append(rows, []string{g.area, g.want, fmt.Sprintf("%s (%d of %d)", marks[verdict], good, len(g.tests))})
	}
	p.table(rows)
	if len(list) > 0 {
		p.line("### What was missed, and why\n")
	}
	for _, g := range list {
		var what []string
		for _, t := range g.tests {
			if e, o := t.result(r); o == missed {
				what = append(what, fmt.Sprintf("%s: %s, wanted %s", t.what, e.times(), t.bound()))
			}
		}
		p.line("**%s.** %s. %s\n", g.area, strings.Join(what, "; "), g.why)
	}
	p.line("### Line by line\n")
	rows = [][]string{{"", "", "goal", "measured", ""}}
	for _, g := range all {
		for _, t := range g.tests {
			e, o := t.result(r)
			rows = append(rows, []string{g.area, t.what, t.bound(), e.times(), marks[o]})
		}
	}
	p.table(rows)
}

func atoi(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

// sequentialIDs are the scenarios with a benchmark of their own.
func sequentialIDs() (ids []string) {
	for _, s := range peers.Scenarios {
		if s.Sessions == 0 {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func (p *page) requests(r *results, framework string) {
	p.line("### %s\n", frameworkNames[framework])
	ids := sequentialIDs()
	rows := [][]string{append([]string{""}, ids...)}
	for _, name := range columnsOn(framework, everyColumn) {
		_, label, _ := strings.Cut(name, "/")
		row := []string{label}
		for _, id := range ids {
			cell := "-"
			if e := r.ns(id + "/" + name); e.ok() {
				cell = fmt.Sprintf("%s, %s", e, number(r.allocs(id+"/"+name).mid))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

// rivals are whom each of our columns is compared with.
var rivals = []struct{ framework, ours, peer string }{
	{"chi", defaultMemory, "scs"}, {"chi", leanMemory, "scs"},
	{"chi", defaultMemory, "scs-msgp"}, {"chi", leanMemory, "scs-msgp"},
	{"chi", defaultMemory, "gorilla-memstore"}, {"chi", leanMemory, "gorilla-memstore"},
	{"chi", defaultCookie, "gorilla-cookie"}, {"chi", leanCookie, "gorilla-cookie"},
	{"chi", defaultCookie, "gorilla-cookie-encrypted"}, {"chi", leanCookie, "gorilla-cookie-encrypted"},
	{"chi", defaultCookie, "gorilla-cookie-encrypted-msgp"}, {"chi", leanCookie, "gorilla-cookie-encrypted-msgp"},
	{"gin", defaultMemory, "gin-contrib-memstore"}, {"gin", leanMemory, "gin-contrib-memstore"},
	{"gin", defaultCookie, "gin-contrib-cookie"}, {"gin", leanCookie, "gin-contrib-cookie"},
	{"echo4", defaultCookie, "echo-contrib-cookie"}, {"echo4", leanCookie, "echo-contrib-cookie"},
}

func (p *page) ratios(r *results) {
	p.line("### How many times as long others take\n\nThe ratio of the times, and its interval. Below 1 the other library is faster.\n")
	ids := sequentialIDs()
	rows := [][]string{append([]string{"", "against"}, ids...)}
	for _, v := range rivals {
		row := []string{v.framework + ", " + v.ours, v.peer}
		for _, id := range ids {
			row = append(row, r.ratio(id+"/"+v.framework+"/"+v.peer, id+"/"+v.framework+"/"+v.ours, "ns/op").times())
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

func (p *page) parallel(r *results) {
	p.line("## In parallel\n\nS7: %s sessions, of which each request uses another. Nanoseconds per request, and what the second core brings.\n", thousands(fmt.Sprint(peers.Population)))
	rows := [][]string{{"", "S7r, 1 core", "S7r, 2 cores", "", "S7w, 1 core", "S7w, 2 cores", ""}}
	for _, c := range peers.Columns {
		at := "S7/" + c.Name() + "/"
		if !r.has(at + "r") {
			continue
		}
		rows = append(rows, []string{c.Name(), r.ns(at + "r").String(), r.ns(at + "r@2").String(), r.ratio(at+"r", at+"r@2", "ns/op").times() + "×",
			r.ns(at + "w").String(), r.ns(at + "w@2").String(), r.ratio(at+"w", at+"w@2", "ns/op").times() + "×"})
	}
	p.table(rows)
}

func (p *page) http(r *results) {
	p.line("## Over HTTP\n\nRequests per second on loopback, 32 connections, the server a process of its own on one core, the loader on another; in brackets the part of the bare framework's.\n")
	p.line("![requests per second](performance/throughput.svg)\n")
	ids := []string{"S1", "S3", "S4", "S5"}
	rows := [][]string{append([]string{""}, ids...)}
	for _, column := range peers.Served {
		framework, _, _ := strings.Cut(column, "/")
		row := []string{column}
		for _, id := range ids {
			at := "HTTP/" + id + "/"
			cell := r.get(at+column, "req/s").String()
			if part := r.ratio(at+column, at+framework+"/bare", "req/s"); part.ok() {
				cell += fmt.Sprintf(" (%.0f%%)", 100*part.mid)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

func (p *page) memory(r *results) {
	ns := steps(r)
	if len(ns) == 0 {
		return
	}
	last := ns[len(ns)-1]
	p.line("## Memory and growth\n\nWhat a session of 5 keys takes in memory (%d bytes are the keys and values themselves), how long a full collection takes with %s of them, and the time of S3 and S4 by the number of sessions.\n",
		peers.Small.Bytes(), thousands(fmt.Sprint(last)))
	p.line("![growth](performance/growth.svg)\n")
	head := []string{"", "bytes", "objects", "collection"}
	for _, n := range ns {
		head = append(head, "S3 at "+thousands(fmt.Sprint(n)))
	}
	for _, n := range ns {
		head = append(head, "S4 at "+thousands(fmt.Sprint(n)))
	}
	rows := [][]string{head}
	for _, column := range peers.Keepers {
		at := fmt.Sprintf("Growth/%s/sessions=%d/", column, last)
		row := []string{column, r.get(at+"memory@2", "B/session").String(), r.get(at+"memory@2", "objects/session").String(), duration(r.ns(at + "collection@2").mid)}
		for _, id := range []string{"S3", "S4"} {
			for _, n := range ns {
				row = append(row, r.ns(fmt.Sprintf("Growth/%s/sessions=%d/%s@2", column, n, id)).String())
			}
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

func (p *page) sweeps(r *results) {
	p.line("## While sessions expire\n\nOne client reads a live session, request after request, while %s others are there (quiet) and while they expire and are removed (sweep). How long its requests took, by quantile. "+
		"The store in memory of gorilla/sessions and gin-contrib/sessions removes nothing, ever.\n", thousands(r.facts["sessions"]))
	p.line("![sweep](performance/sweep.svg)\n")
	head := []string{"", ""}
	for _, q := range peers.Quantiles {
		head = append(head, strings.TrimSuffix(q.Unit, "-ns"))
	}
	rows := [][]string{head}
	for _, s := range peers.Sweeps {
		for _, phase := range []string{"quiet", "sweep"} {
			row := []string{s.Name, phase}
			for _, q := range peers.Quantiles {
				e := r.get("Sweep/"+s.Name+"/"+phase+"@2", q.Unit)
				cell := "-"
				if e.ok() {
					cell = duration(e.mid)
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	p.table(rows)
}

func (p *page) remote(r *results, bench, name string, libraries []peers.Remote) {
	if !r.has(bench + "/" + libraries[0].Name + "/S3/clients=1@2") {
		return
	}
	p.line("## %s\n\nMicroseconds per request at 1, 16 and 128 clients: the time of all requests over their number; after the comma, round trips per request, counted at the socket (less than one where a client "+
		"sends the commands of several requests together). Server and clients share the two cores.\n", name)
	if bench == "Postgres" {
		p.line("The server writes without waiting for the disk (`fsync=off`), which would be the same for all.\n")
	}
	ids := []string{"S2", "S3", "S4", "S5"}
	head := []string{""}
	for _, id := range ids {
		for _, n := range []int{1, 16, 128} {
			head = append(head, fmt.Sprintf("%s, %d", id, n))
		}
	}
	rows := [][]string{head}
	for _, l := range libraries {
		row := []string{l.Name}
		for _, id := range ids {
			for _, n := range []int{1, 16, 128} {
				at := fmt.Sprintf("%s/%s/%s/clients=%d@2", bench, l.Name, id, n)
				cell := "-"
				if e := scaled(r.ns(at), 1e-3); e.ok() {
					cell = fmt.Sprintf("%s, %s", e, number(r.get(at, "trips/op").mid))
				}
				row = append(row, cell)
			}
		}
		rows = append(rows, row)
	}
	p.table(rows)
}
