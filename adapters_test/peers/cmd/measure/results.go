package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are the figures of a run.
type results struct {
	facts    map[string]string
	versions []string // "module version"
	skipped  []string // what was not measured, and why
	values   map[key]map[int]float64
}

// key is a figure: a benchmark, as in "S3/chi/scs" (with "@2" if it ran on two
// processors), and a unit.
type key struct{ bench, unit string }

var processors = regexp.MustCompile(`-(\d+)$`)

// parse reads what plan.measure wrote.
func parse(text string) (*results, error) {
	r := &results{facts: map[string]string{}, values: map[key]map[int]float64{}}
	pass := 0
	for line := range strings.SplitSeq(text, "\n") {
		fields := strings.Fields(line)
		if name, ok := strings.CutPrefix(line, "Benchmark"); ok && len(fields) >= 4 {
			name, _, _ = strings.Cut(name, " ")
			name = strings.TrimSpace(strings.SplitN(name, "\t", 2)[0])
			if cpu := processors.FindString(name); cpu != "" {
				name = strings.TrimSuffix(name, cpu) + "@" + cpu[1:]
			}
			for i := 2; i+1 < len(fields); i += 2 {
				v, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					return nil, fmt.Errorf("raw.txt: %q: %w", line, err)
				}
				k := key{name, fields[i+1]}
				if r.values[k] == nil {
					r.values[k] = map[int]float64{}
				}
				r.values[k][pass] = v
			}
			continue
		}
		name, value, ok := strings.Cut(line, ": ")
		switch {
		case !ok:
		case name == "pass":
			pass, _ = strconv.Atoi(value)
		case name == "version":
			r.versions = append(r.versions, value)
		case name == "skipped":
			if !slices.Contains(r.skipped, value) {
				r.skipped = append(r.skipped, value)
			}
		default:
			r.facts[name] = value
		}
	}
	if len(r.values) == 0 {
		return nil, errors.New("raw.txt holds no results")
	}
	return r, nil
}

// estimate is the median of some values, and an interval that holds the true
// one with some confidence, which needs no assumption about the distribution.
type estimate struct {
	mid, low, high float64
	confidence     float64
	n              int
}

func (e estimate) ok() bool { return e.n > 0 }

// estimated computes an estimate. The interval runs from the k-th smallest to
// the k-th largest value, with the largest k that gives 95%; with fewer than 6
// values it is all of them, and the confidence less.
func estimated(values []float64) estimate {
	n := len(values)
	if n == 0 {
		return estimate{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := v[n/2]
	if n%2 == 0 {
		mid = (v[n/2-1] + v[n/2]) / 2
	}
	k, confidence := 1, coverage(n, 1)
	for 2*(k+1) <= n && coverage(n, k+1) >= 0.95 {
		k++
		confidence = coverage(n, k)
	}
	return estimate{mid: mid, low: v[k-1], high: v[n-k], confidence: confidence, n: n}
}

// coverage is the probability that the median lies between the k-th smallest
// and the k-th largest of n values.
func coverage(n, k int) float64 {
	tail, choose := 0.0, 1.0
	for i := range k {
		tail += choose
		choose = choose * float64(n-i) / float64(i+1)
	}
	return max(0, 1-2*tail*math.Pow(0.5, float64(n)))
}

// get returns a figure.
func (r *results) get(bench, unit string) estimate {
	var values []float64
	for _, v := range r.values[key{bench, unit}] {
		values = append(values, v)
	}
	return estimated(values)
}

func (r *results) ns(bench string) estimate     { return r.get(bench, "ns/op") }
func (r *results) allocs(bench string) estimate { return r.get(bench, "allocs/op") }

// ratio returns how many times one figure is another, from the ratios within
// each pass: what slowed the machine down in one pass slowed both.
func (r *results) ratio(over, under, unit string) estimate {
	var values []float64
	for pass, a := range r.values[key{over, unit}] {
		if b, ok := r.values[key{under, unit}][pass]; ok && b != 0 {
			values = append(values, a/b)
		}
	}
	return estimated(values)
}

// has reports whether anything was measured of a benchmark.
func (r *results) has(bench string) bool {
	for k := range r.values {
		if k.bench == bench {
			return true
		}
	}
	return false
}

// number prints three digits, with separators.
func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case v >= 100 || v == math.Trunc(v):
		return thousands(strconv.FormatFloat(math.Round(v), 'f', 0, 64))
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func thousands(s string) string {
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// String prints an estimate with its interval as a percentage either way.
func (e estimate) String() string {
	if !e.ok() {
		return "-"
	}
	return number(e.mid) + e.spread()
}

func (e estimate) spread() string {
	if e.n < 2 || e.mid == 0 {
		return ""
	}
	return fmt.Sprintf(" ±%.0f%%", 100*max(e.high-e.mid, e.mid-e.low)/e.mid)
}

// times prints an estimate of a ratio with its interval.
func (e estimate) times() string {
	if !e.ok() {
		return "-"
	}
	return fmt.Sprintf("%s (%s to %s)", number(e.mid), number(e.low), number(e.high))
}
