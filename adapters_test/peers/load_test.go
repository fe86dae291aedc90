package peers

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if column := os.Getenv(ServeVariable); column != "" {
		addr, err := Listen(FindColumn(column))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(addr)
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	code := m.Run()
	stopServers()
	os.Exit(code)
}

// serve starts this program as a server of a column, on one processor, and
// returns its address. It ends with the test.
func serve(tb testing.TB, column string) string {
	tb.Helper()
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), ServeVariable+"="+column, "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stdin.Close() // ends it
		cmd.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

// served are the scenarios of BenchmarkHTTP.
var served = []string{"S1", "S3", "S4", "S5"}

// TestHTTP has the loader make a few requests of each kind to each server.
func TestHTTP(t *testing.T) {
	for _, column := range Served {
		addr := serve(t, column)
		for _, id := range served {
			sc := FindScenario(id)
			l, err := NewLoader(addr, sc.Path, sc.With)
			if err != nil {
				t.Fatalf("%s, %s: %v", column, id, err)
			}
			if err := l.Run(100); err != nil {
				t.Errorf("%s, %s: %v", column, id, err)
			}
			l.Close()
		}
	}
}

// BenchmarkHTTP loads servers over loopback: 32 connections, the server on one
// processor. Run it with -cpu 1, so that the loader takes no more than one.
func BenchmarkHTTP(b *testing.B) {
	for _, id := range served {
		sc := FindScenario(id)
		for _, column := range Served {
			b.Run(id+"/"+column, func(b *testing.B) {
				addr := serve(b, column)
				l, err := NewLoader(addr, sc.Path, sc.With)
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				if err := l.Run(2000); err != nil { // connections and caches get warm
					b.Fatal(err)
				}
				b.ResetTimer()
				if err := l.Run(b.N); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}
