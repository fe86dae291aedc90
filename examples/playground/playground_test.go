package main

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The program as it is run: built, started, asked, and told to stop. What its
// routes do is tested in package app.
func TestProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "playground")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		var stderr bytes.Buffer
		cmd := exec.Command(program, "-addr", "127.0.0.1:0")
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		lines := bufio.NewReader(stdout)
		line, err := lines.ReadString('\n')
		url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
		if err != nil || !ok {
			t.Fatalf("the first line is %q (%v): %s", line, err, &stderr)
		}
		res, err := http.Get(url + "/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Errorf("the page: %s, %s", res.Status, res.Header.Get("Content-Type"))
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		more, _ := lines.ReadString('\n')
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v\n%s", signal, err, &stderr)
		}
		if more != "" || stderr.Len() > 0 {
			t.Errorf("a quiet run prints more than its address: %q, %q", more, &stderr)
		}
	}

	cmd := exec.Command(program, "-store", "tape")
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 2 || strings.Count(string(out), "\n") != 1 {
		t.Errorf("a wrong flag: status %d (%v), output %q; want 2 and one line", code, err, out)
	}
}
