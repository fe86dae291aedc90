package examples

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every example is driven by a test, and the hello ones stay short.
func TestExamples(t *testing.T) {
	programs, err := filepath.Glob("*/main.go")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, program := range programs {
		dir := filepath.Dir(program)
		if tests, _ := filepath.Glob(filepath.Join(dir, "*_test.go")); len(tests) == 0 {
			t.Errorf("%s has no test", dir)
		}
		text, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); strings.HasPrefix(dir, "hello-") && lines >= 40 {
			t.Errorf("%s has %d lines, want fewer than 40", program, lines)
		}
	}
}
