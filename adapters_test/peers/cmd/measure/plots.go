package main

import (
	"fmt"
	"strings"

	"github.com/coatcheck/sessions/adapters_test/peers"
)

// color tells the columns of a plot apart.
func color(column string, i int) string {
	switch {
	case strings.Contains(column, "sessions-") && strings.Contains(column, "aesgcm"):
		return palette["ours2"]
	case strings.Contains(column, "sessions-"):
		return palette["ours"]
	case strings.HasSuffix(column, "/bare"):
		return palette["bare"]
	}
	return palette[fmt.Sprintf("p%d", i%4)]
}

// columnsOn returns the names of the columns of a framework.
func columnsOn(framework string, keep func(peers.Column) bool) (names []string) {
	for _, c := range peers.Columns {
		if c.Framework == framework && keep(c) {
			names = append(names, c.Name())
		}
	}
	return names
}

func everyColumn(peers.Column) bool { return true }

// costs draws a scenario on some frameworks.
func costs(r *results, title, scenario string, frameworks map[string]string, order []string) string {
	rows := map[string][]bar{}
	for _, f := range order {
		for i, name := range columnsOn(f, everyColumn) {
			if e := r.ns(scenario + "/" + name); e.ok() {
				_, label, _ := strings.Cut(name, "/")
				rows[frameworks[f]] = append(rows[frameworks[f]], bar{label, color(name, i), e})
			}
		}
	}
	var groups []string
	for _, f := range order {
		groups = append(groups, frameworks[f])
	}
	return bars(title, "time per request, logarithmic; the line is the interval of the median over all passes", groups, rows, duration)
}

var frameworkNames = map[string]string{"nethttp": "net/http", "chi": "Chi", "gin": "Gin", "echo4": "Echo 4", "echo5": "Echo 5", "fiber": "Fiber (fasthttp)"}

func requestsPlot(r *results) string {
	return costs(r, "Reading two values of a session (S3)", "S3", frameworkNames, []string{"chi", "gin", "echo4", "fiber"})
}

func writesPlot(r *results) string {
	return costs(r, "Counting in a session (S4)", "S4", frameworkNames, []string{"chi", "gin", "echo4", "fiber"})
}

func throughputPlot(r *results) string {
	rows := map[string][]bar{}
	groups := []string{"S1 untouched", "S3 reads", "S4 counts", "S5 new session"}
	for i, id := range []string{"S1", "S3", "S4", "S5"} {
		for j, column := range peers.Served {
			if e := r.get("HTTP/"+id+"/"+column, "req/s"); e.ok() {
				rows[groups[i]] = append(rows[groups[i]], bar{column, color(column, j), e})
			}
		}
	}
	return bars("Requests per second over HTTP", "32 connections on loopback, the server on one core; logarithmic", groups, rows, number)
}

// steps are the numbers of sessions that growth was measured at.
func steps(r *results) (out []int) {
	for n := 1000; n <= 100_000_000; n *= 10 {
		if r.has(fmt.Sprintf("Growth/chi/%s/sessions=%d/S3@2", leanMemory, n)) {
			out = append(out, n)
		}
	}
	return out
}

func growthPlot(r *results) string {
	var cs []curve
	for i, column := range peers.Keepers {
		for _, scenario := range []string{"S3", "S4"} {
			c := curve{label: column + " " + scenario, color: color(column, i), dashed: scenario == "S4"}
			for _, n := range steps(r) {
				if e := r.ns(fmt.Sprintf("Growth/%s/sessions=%d/%s@2", column, n, scenario)); e.ok() {
					c.x, c.y = append(c.x, float64(n)), append(c.y, e.mid)
				}
			}
			if len(c.x) > 0 {
				cs = append(cs, c)
			}
		}
	}
	return curves("Time of a request by the number of sessions", "each request uses another session, picked at random", nil, cs, number, duration)
}

func sweepPlot(r *results) string {
	var names []string
	for _, q := range peers.Quantiles {
		names = append(names, strings.TrimSuffix(q.Unit, "-ns"))
	}
	var cs []curve
	for i, s := range peers.Sweeps {
		for _, phase := range []string{"quiet", "sweep"} {
			c := curve{label: s.Name + ", " + phase, color: color(s.Name, i), dashed: phase == "quiet"}
			for j, q := range peers.Quantiles {
				if e := r.get("Sweep/"+s.Name+"/"+phase+"@2", q.Unit); e.ok() && e.mid > 0 {
					c.x, c.y = append(c.x, float64(j)), append(c.y, e.mid)
				}
			}
			if len(c.x) > 0 {
				cs = append(cs, c)
			}
		}
	}
	return curves("Other requests while "+thousands(r.facts["sessions"])+" sessions expire and are removed", "time of a request that reads a live session, by quantile; dashed: the same before the sweep", names, cs, number, duration)
}
