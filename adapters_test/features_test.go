package adapters_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// series is the rows of one letter.
type series struct {
	letter   string
	from, to int
}

// owed are the rows that docs/features.md must have, each once.
var owed = []series{
	{"Q", 1, 34},
	{"QX", 1, 26},
	{"P", 1, 39},
	{"PX", 1, 12},
	{"W", 1, 28},
	{"W", 30, 60},
	{"S", 1, 16},
	{"B", 1, 41},
	{"F", 1, 60},
}

var featureRow = regexp.MustCompile(`^\| ([A-Z]+[0-9]+) \|`)

// TestFeatures reads docs/features.md: every row is there, and every test that
// a row names exists.
func TestFeatures(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "features.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range featureFaults(string(text), goTests(t, "..")) {
		t.Error(fault)
	}
}

// featureFaults returns what is wrong with a page of features.
func featureFaults(page string, tests testNames) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	have := map[string]int{}
	for i, line := range strings.Split(page, "\n") {
		m := featureRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		row := m[1]
		have[row]++
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), "|"), "|")[1:]
		if len(cells) != 4 {
			bad("line %d: %s has %d cells, want 4: row, name, use, test", i+1, row, len(cells))
			continue
		}
		named := codeSpans(cells[3])
		if len(named) == 0 && !strings.HasPrefix(strings.TrimSpace(cells[2]), "Not offered") {
			bad("line %d: %s names no test", i+1, row)
		}
		for _, name := range named {
			if why := tests.lacks(name); why != "" {
				bad("line %d: %s names %s: %s", i+1, row, name, why)
			}
		}
	}
	for _, s := range owed {
		for n := s.from; n <= s.to; n++ {
			row := s.letter + strconv.Itoa(n)
			if have[row] == 0 {
				bad("%s is missing", row)
			}
			if have[row] > 1 {
				bad("%s is there %d times", row, have[row])
			}
			delete(have, row)
		}
	}
	for row := range have {
		bad("there is no row %s", row)
	}
	slices.Sort(faults)
	return faults
}

// codeSpans returns what stands between backticks.
func codeSpans(cell string) (out []string) {
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}

// testNames knows the tests of a tree: by directory, the functions and, for
// the names of sub-tests, the texts of the sources and of what they import.
type testNames map[string]*testSources

type testSources struct {
	functions map[string]bool
	texts     map[string]bool // every string literal, as testing writes it
	imports   []string        // directories
}

// lacks says why there is no test of this name: directory, ".", function, and
// for a sub-test "/" and its name.
func (n testNames) lacks(name string) string {
	dir, sub, _ := strings.Cut(name, ".Test")
	sub = "Test" + sub
	for _, kind := range []string{".Fuzz", ".Example", ".Benchmark"} {
		if d, s, ok := strings.Cut(name, kind); ok {
			dir, sub = d, kind[1:]+s
		}
	}
	p := n[dir]
	if p == nil {
		return "no such directory of tests"
	}
	function, sub, _ := strings.Cut(sub, "/")
	if !p.functions[function] {
		return "no such function"
	}
	if sub == "" || n.says(dir, sub) {
		return ""
	}
	for part := range strings.SplitSeq(sub, "/") {
		if !n.says(dir, part) {
			return fmt.Sprintf("no source has the text %q", part)
		}
	}
	return ""
}

// says reports whether a sub-test of this name can be in a directory: the text
// is there, or in a package that it imports.
func (n testNames) says(dir, text string) bool {
	text = strings.ReplaceAll(text, " ", "_")
	p := n[dir]
	if p.texts[text] {
		return true
	}
	for _, imported := range p.imports {
		if q := n[imported]; q != nil && q.texts[text] {
			return true
		}
	}
	return false
}

// goTests reads the sources below a directory, nested modules included.
func goTests(t *testing.T, root string) testNames {
	t.Helper()
	out := testNames{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		p := out[dir]
		if p == nil {
			p = &testSources{functions: map[string]bool{}, texts: map[string]bool{}}
			out[dir] = p
		}
		p.read(file, strings.HasSuffix(name, "_test.go"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *testSources) read(file *ast.File, tests bool) {
	for _, imp := range importsOf(file.Imports) {
		if dir, ok := strings.CutPrefix(imp, module+"/"); ok {
			p.imports = append(p.imports, dir)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if tests && n.Recv == nil {
				p.functions[n.Name.Name] = true
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				p.texts[strings.ReplaceAll(text, " ", "_")] = true
			}
		}
		return true
	})
}

// TestFeaturesCheck shows that the faults which matter are found.
func TestFeaturesCheck(t *testing.T) {
	t.Parallel()
	tests := testNames{
		"core": {
			functions: map[string]bool{"TestReal": true, "FuzzReal": true},
			texts:     map[string]bool{"a_case": true},
			imports:   []string{"stores/storetest"},
		},
		"stores/storetest": {texts: map[string]bool{"imported": true}},
	}
	for _, c := range []struct{ page, fault string }{
		{"| Q1 | name | use | `core.TestReal`, `core.FuzzReal` |", ""},
		{"| Q1 | name | use | `core.TestReal/a case/imported` |", ""},
		{"| Q1 | name | Not offered: nobody needs it. | |", ""},
		{"| Q1 | name | use |", "line 1: Q1 has 3 cells, want 4: row, name, use, test"},
		{"| Q1 | name | use | |", "line 1: Q1 names no test"},
		{"| Q1 | name | use | none |", "line 1: Q1 names no test"},
		{"| Q1 | name | use | `core.TestUnreal` |", "line 1: Q1 names core.TestUnreal: no such function"},
		{"| Q1 | name | use | `cores.TestReal` |", "line 1: Q1 names cores.TestReal: no such directory of tests"},
		{"| Q1 | name | use | `TestReal` |", "line 1: Q1 names TestReal: no such directory of tests"},
		{"| Q1 | name | use | `core.TestReal/other` |", `line 1: Q1 names core.TestReal/other: no source has the text "other"`},
		{"| Q1 | name | use | `core.TestReal` |\n| Q1 | name | use | `core.TestReal` |", "Q1 is there 2 times"},
		{"| Q99 | name | use | `core.TestReal` |", "there is no row Q99"},
	} {
		got := slices.DeleteFunc(featureFaults(c.page, tests), func(f string) bool { return strings.HasSuffix(f, " is missing") })
		if strings.Join(got, "; ") != c.fault {
			t.Errorf("%s\ngot  %q\nwant %q", c.page, got, c.fault)
		}
	}
	missing := featureFaults("", tests)
	for _, s := range owed {
		if last := s.letter + strconv.Itoa(s.to); !slices.Contains(missing, last+" is missing") {
			t.Errorf("an empty page does not lack %s", last)
		}
	}
}
