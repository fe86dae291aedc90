package main

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/adapters_test/peers"
)

// The interval must hold the median with the confidence that it claims: for
// six values all of them give 97%, for eleven the second to the second last 98.8%.
func TestEstimated(t *testing.T) {
	for _, tt := range []struct {
		n         int
		low, high float64
		mid       float64
		level     float64
	}{
		{1, 1, 1, 1, 0},
		{2, 1, 2, 1.5, 0.5},
		{5, 1, 5, 3, 0.9375},
		{6, 1, 6, 3.5, 0.96875},
		{11, 2, 10, 6, 0.98828},
	} {
		var values []float64
		for i := range tt.n {
			values = append(values, float64(tt.n-i)) // unsorted
		}
		e := estimated(values)
		if e.low != tt.low || e.high != tt.high || e.mid != tt.mid || math.Abs(e.confidence-tt.level) > 1e-4 {
			t.Errorf("%d values: %+v, want %+v", tt.n, e, tt)
		}
	}
	if estimated(nil).ok() {
		t.Error("an estimate of nothing is ok")
	}
}

// A ratio is that of one pass, so that a machine which is twice as slow in one
// pass does not change it.
func TestRatio(t *testing.T) {
	r, err := parse(strings.Join([]string{
		"cpu: some", "pass: 1",
		"BenchmarkS3/chi/scs \t 10\t 900 ns/op\t 5 allocs/op",
		"BenchmarkS3/chi/ours-2 \t 10\t 100 ns/op",
		"pass: 2",
		"BenchmarkS3/chi/scs \t 10\t 1800 ns/op",
		"BenchmarkS3/chi/ours-2 \t 10\t 200 ns/op",
		"pass: 3",
		"BenchmarkS3/chi/scs \t 10\t 900 ns/op",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e := r.ratio("S3/chi/scs", "S3/chi/ours@2", "ns/op"); e.mid != 9 || e.low != 9 || e.high != 9 || e.n != 2 {
		t.Errorf("ratio %+v, want 9 of 2 passes", e)
	}
	if e := r.allocs("S3/chi/scs"); e.mid != 5 || e.n != 1 {
		t.Errorf("allocations %+v", e)
	}
	if r.facts["cpu"] != "some" {
		t.Errorf("facts %v", r.facts)
	}
	if _, err := parse("goos: linux\n"); err == nil {
		t.Error("no results are no error")
	}
}

// A goal is missed on the page exactly if a figure says so, and what was not
// measured is not called met.
func TestGoals(t *testing.T) {
	page := func(ours, scs int) string {
		text := "sessions: 1000000\npass: 1\n"
		for _, c := range peers.Columns {
			ns := scs
			if c.Ours {
				ns = ours
			}
			text += fmt.Sprintf("BenchmarkS3/%s 1 %d ns/op 1 allocs/op\n", c.Name(), ns)
		}
		r, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		costsPage(r)
		for _, plot := range []func(*results) string{requestsPlot, writesPlot, growthPlot, sweepPlot, throughputPlot} {
			if svg := plot(r); !strings.HasPrefix(svg, "<svg") || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("not a picture: %.200s", svg)
			}
		}
		return performancePage(r)
	}
	const line = "| S3 memory | S3, lean, against scs | ≥ 14× | "
	for _, tt := range []struct {
		ours, scs int
		want      string
	}{
		{100, 1400, "14 (14 to 14) | met |"},
		{100, 1399, "14.0 (14.0 to 14.0) | **missed** |"},
	} {
		got := page(tt.ours, tt.scs)
		if !strings.Contains(got, line+tt.want) {
			t.Errorf("%d against %d: want %q in\n%s", tt.ours, tt.scs, line+tt.want, got)
		}
		if !strings.Contains(got, "| S4 memory | S4, lean, against scs | ≥ 18× | - | not measured |") {
			t.Error("what was not measured is not said to be")
		}
	}
}
