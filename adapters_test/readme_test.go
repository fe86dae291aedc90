package adapters_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	playground "github.com/coatcheck/sessions/examples/playground/app"
)

// TestTranscriptsOfREADME runs the curl commands of the README against the
// playground and requires what the README says they print.
func TestTranscriptsOfREADME(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no console block")
	}
	for _, b := range blocks {
		base := startPlayground(t)
		jar := ""
		for _, step := range strings.Split(b[1], "$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			if got := curl(t, command, base, &jar); got != want {
				t.Errorf("$ %s\n--- prints\n%s--- README says\n%s", command, got, want)
			}
		}
	}
}

// startPlayground runs the playground as the README does, on a free port.
func startPlayground(t *testing.T) string {
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan int)
	var logs bytes.Buffer
	go func() { ended <- playground.Run(ctx, []string{"-addr", "127.0.0.1:0"}, in, &logs, playground.Stores()) }()
	t.Cleanup(func() {
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("the playground ended with %d: %s", status, &logs)
		}
	})
	var base string
	if _, err := fmt.Fscanf(out, "listening on %s\n", &base); err != nil {
		t.Fatalf("%v: %s", err, &logs)
	}
	return base
}

// curl does what curl -si -c jar -b jar would, with the session's token and
// the date left out of what it prints.
func curl(t *testing.T, command, base string, jar *string) string {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(command, "'", ""))
	if !slices.Equal(words[:6], []string{"curl", "-si", "-c", "jar", "-b", "jar"}) {
		t.Fatalf("this test cannot run %q", command)
	}
	method := "GET"
	if words[6] == "-X" {
		method = words[7]
	}
	url := strings.Replace(words[len(words)-1], "http://127.0.0.1:8080", base, 1)
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *jar != "" {
		r.Header.Set("Cookie", *jar)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s\n", res.Proto, res.Status)
	names := []string{}
	for name := range res.Header {
		if name != "Date" && name != "Content-Length" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		value := strings.Join(res.Header[name], ", ")
		if pair, _, ok := strings.Cut(value, ";"); ok && name == "Set-Cookie" {
			*jar = pair
			if strings.Contains(value, "Max-Age=0") {
				*jar = ""
			} else {
				value = strings.Replace(value, pair, pair[:strings.Index(pair, "=")]+"=...", 1)
			}
		}
		fmt.Fprintf(&out, "%s: %s\n", name, value)
	}
	fmt.Fprintf(&out, "Content-Length: %d\n\n", res.ContentLength)
	io.Copy(&out, res.Body)
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// TestNamesInDocs: a test that a page names as proof must exist.
func TestNamesInDocs(t *testing.T) {
	have := map[string]bool{}
	walk := func(ext string, f func(path, text string)) {
		err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ext) {
				return err
			}
			text, err := os.ReadFile(path)
			f(path, string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	define := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	walk("_test.go", func(_, text string) {
		for _, m := range define.FindAllStringSubmatch(text, -1) {
			have[m[1]] = true
		}
	})
	mention := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`")
	n := 0
	walk(".md", func(path, text string) {
		for _, m := range mention.FindAllStringSubmatch(text, -1) {
			n++
			if !have[m[1]] {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
	})
	if n < 50 {
		t.Errorf("only %d mentions found: the pattern has stopped matching", n)
	}
}

// TestFiguresOfREADME requires the ratios of the README to be those of the last
// measurement, rounded down.
func TestFiguresOfREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	measured := func(line string) string {
		m := regexp.MustCompile(regexp.QuoteMeta(line) + ` \| [^|]* \| ([0-9]+)`).FindSubmatch(page)
		if m == nil {
			t.Fatalf("docs/performance.md has no %q", line)
		}
		return string(m[1])
	}
	text := strings.Join(strings.Fields(string(readme)), " ")
	for _, want := range []string{
		measured("S3, default, against scs") + " to " + measured("S3, lean, against scs") + " times as fast as with scs",
		measured("S3, default, against gorilla (signed)") + " to " + measured("S3, lean, against gorilla (signed)") + " times as with the cookie of gorilla/sessions",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("README.md does not say %q", want)
		}
	}
}
