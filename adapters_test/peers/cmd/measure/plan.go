package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// plan is how much is measured.
type plan struct {
	Count    int           // passes
	Heavy    int           // passes that fill stores with Sessions
	Time     time.Duration // of each benchmark
	Sessions int
}

// group is a part of a pass: one run of the test program.
type group struct {
	bench string
	cpu   string
	scale int  // of plan.Time
	heavy bool // makes plan.Sessions sessions for each store
}

var groups = []group{
	{bench: "^Benchmark(S1|S2|S3|S4|S5|S6|S6w|S6c|S8|S9)$", cpu: "1", scale: 1},
	{bench: "^BenchmarkS7$", cpu: "1,2", scale: 2},
	{bench: "^BenchmarkOptions$", cpu: "1", scale: 1},
	{bench: "^BenchmarkHTTP$", cpu: "1", scale: 4},
	{bench: "^BenchmarkRedis$", cpu: "2", scale: 2},
	{bench: "^BenchmarkPostgres$", cpu: "2", scale: 2},
	{bench: "^BenchmarkGrowth$", cpu: "2", scale: 1, heavy: true},
	{bench: "^BenchmarkSweep$", cpu: "2", scale: 1, heavy: true},
}

// measure builds the benchmarks, runs them pass by pass, and writes the raw
// results.
func (p plan) measure(module, raw string) error {
	begin := time.Now()
	tmp, err := os.MkdirTemp("", "sessions-measure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	program := filepath.Join(tmp, "peers.test")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Dir, build.Stderr = module, os.Stderr
	fmt.Println("building the benchmarks")
	if err := build.Run(); err != nil {
		return err
	}
	check := exec.Command(program, "-test.run", ".")
	check.Dir, check.Stdout, check.Stderr = module, os.Stderr, os.Stderr
	fmt.Println("checking that every column is right")
	if err := check.Run(); err != nil {
		return fmt.Errorf("a column is not right, so nothing is timed: %w", err)
	}
	var out bytes.Buffer
	for _, line := range p.facts(module) {
		fmt.Fprintln(&out, line)
	}
	for pass := 1; pass <= p.Count; pass++ {
		fmt.Fprintf(&out, "\npass: %d\n", pass)
		for i, g := range groups {
			if g.heavy && pass > p.Heavy {
				continue
			}
			fmt.Printf("pass %d of %d, part %d of %d, after %v\n", pass, p.Count, i+1, len(groups), time.Since(begin).Round(time.Second))
			if err := p.part(g, program, module, &out); err != nil {
				return err
			}
		}
	}
	// A run that fails leaves the last good results in place.
	return os.WriteFile(raw, out.Bytes(), 0o666)
}

// part runs a group once and keeps the lines that are results, or say why
// there are none.
func (p plan) part(g group, program, module string, out io.Writer) error {
	cmd := exec.Command(program, "-test.run", "^$", "-test.bench", g.bench, "-test.benchmem", "-test.v",
		"-test.cpu", g.cpu, "-test.benchtime", (p.Time * time.Duration(g.scale)).String(), "-test.timeout", "1h", "-sessions", fmt.Sprint(p.Sessions))
	cmd.Dir, cmd.Stderr = module, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", g.bench, err, text)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch fields := strings.Fields(line); {
		case strings.HasPrefix(line, "Benchmark") && len(fields) > 3:
			fmt.Fprintln(out, line)
		case strings.Contains(line, "install the package"):
			fmt.Fprintf(out, "skipped: %s\n", strings.TrimSpace(line))
			fmt.Println(strings.TrimSpace(line))
		}
	}
	return lines.Err()
}

// facts says what was measured, where and how, as benchstat's configuration
// lines.
func (p plan) facts(module string) []string {
	facts := []string{
		"date: " + time.Now().UTC().Format("2006-01-02"),
		"goos: " + runtime.GOOS,
		"goarch: " + runtime.GOARCH,
		"go: " + runtime.Version(),
		"cpu: " + cpuModel(),
		fmt.Sprintf("cores: %d", runtime.NumCPU()),
		fmt.Sprintf("passes: %d", p.Count),
		fmt.Sprintf("heavy-passes: %d", p.Heavy),
		"benchtime: " + p.Time.String(),
		fmt.Sprintf("sessions: %d", p.Sessions),
	}
	for name, args := range map[string][]string{
		"kernel":   {"uname", "-sr"},
		"commit":   {"git", "-C", module, "rev-parse", "--short=12", "HEAD"},
		"redis":    {"redis-server", "--version"},
		"postgres": {"sh", "-c", "$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -1 | grep . || echo postgres) --version"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).Output(); err == nil {
			facts = append(facts, name+": "+strings.TrimSpace(string(out)))
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		facts = append(facts, "load-before: "+strings.Join(strings.Fields(string(load))[:3], " "))
	}
	list := exec.Command("go", append([]string{"list", "-m", "-f", "version: {{.Path}} {{.Version}}"}, versioned...)...)
	list.Dir = module
	if out, err := list.Output(); err == nil {
		facts = append(facts, strings.Split(strings.TrimSpace(string(out)), "\n")...)
	}
	return facts
}

// versioned are the modules whose versions the page tells.
var versioned = []string{
	"github.com/alexedwards/scs/v2", "github.com/alexedwards/scs/goredisstore", "github.com/alexedwards/scs/pgxstore",
	"github.com/gorilla/sessions", "github.com/gorilla/securecookie", "github.com/quasoft/memstore",
	"github.com/gin-contrib/sessions", "github.com/boj/redistore", "github.com/labstack/echo-contrib", "github.com/gofiber/fiber/v3",
	"github.com/tinylib/msgp", "github.com/go-chi/chi/v5", "github.com/gin-gonic/gin", "github.com/labstack/echo/v4", "github.com/labstack/echo/v5",
	"github.com/redis/go-redis/v9", "github.com/gomodule/redigo", "github.com/redis/rueidis", "github.com/jackc/pgx/v5",
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
