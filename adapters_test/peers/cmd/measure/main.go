// Measure runs the benchmarks of package peers in interleaved passes and
// writes what comes of it:
//
//	docs/performance/raw.txt   every result, for benchstat
//	docs/performance/*.svg     plots
//	docs/performance.md        tables, ratios, and which goals are met
//	docs/costs.md              what each option of the library costs
//
// Run it on a machine that does nothing else, from anywhere in the repository:
//
//	go run ./adapters_test/peers/cmd/measure
//
// It takes a quarter of an hour; with -quick a few minutes, for figures that
// are rough. Each pass runs every benchmark once, so that a machine that gets
// slower or faster meanwhile does so for all of them alike, and a ratio is
// that of two figures of one pass. What is not installed, Redis or PostgreSQL,
// is left out, and the page says so.
//
// All servers that it starts and loads are its own, on loopback.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	count := flag.Int("count", 6, "how many passes; 6 or more give an interval of 95% confidence")
	benchtime := flag.Duration("time", 60*time.Millisecond, "how long each benchmark runs in each pass")
	quick := flag.Bool("quick", false, "2 passes of 10ms, and 100,000 sessions in place of a million")
	render := flag.Bool("render", false, "measure nothing: make the pages again from docs/performance/raw.txt")
	out := flag.String("out", "", "where to write; by default the docs of the repository")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "measure takes no arguments besides flags:")
		flag.PrintDefaults()
		os.Exit(2)
	}
	p := plan{Count: *count, Time: *benchtime, Sessions: 1_000_000, Heavy: min(*count, 3)}
	if *quick {
		p = plan{Count: 2, Time: 10 * time.Millisecond, Sessions: 100_000, Heavy: 1}
	}
	if err := run(p, *out, *render); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(p plan, docs string, render bool) error {
	module, err := moduleDir()
	if err != nil {
		return err
	}
	if docs == "" {
		docs = filepath.Join(module, "..", "..", "docs")
	}
	dir := filepath.Join(docs, "performance")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	raw := filepath.Join(dir, "raw.txt")
	if !render {
		if err := p.measure(module, raw); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(raw)
	if err != nil {
		return err
	}
	r, err := parse(string(text))
	if err != nil {
		return err
	}
	for name, page := range map[string]string{
		"performance.md":             performancePage(r),
		"costs.md":                   costsPage(r),
		"performance/requests.svg":   requestsPlot(r),
		"performance/writes.svg":     writesPlot(r),
		"performance/growth.svg":     growthPlot(r),
		"performance/sweep.svg":      sweepPlot(r),
		"performance/throughput.svg": throughputPlot(r),
	} {
		if err := os.WriteFile(filepath.Join(docs, filepath.FromSlash(name)), []byte(page), 0o666); err != nil {
			return err
		}
	}
	fmt.Println("wrote", filepath.Join(docs, "performance.md"), "and", filepath.Join(docs, "costs.md"))
	return nil
}

// moduleDir finds the module of the peers, so that the command works from
// every directory of the repository.
func moduleDir() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/coatcheck/sessions/adapters_test/peers").Output()
	if err != nil {
		return "", fmt.Errorf("cannot find the module of the peers; run this in the repository: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
