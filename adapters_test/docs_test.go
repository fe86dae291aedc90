package adapters_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every block of Go in README.md and docs is compiled:
//
//   - A block that begins with a package clause is a file, as it is.
//   - A block of declarations is a file without its first lines: the imports
//     are those of wellKnown that it uses, if it has none itself.
//   - Any other block is the body of a function. What it declares and does
//     not use is forgiven.
//
// Blocks of the last two kinds may use the names of given without declaring
// them: what a reader takes for granted.

// wellKnown is what the name before a dot means in a block without imports.
var wellKnown = map[string]string{
	"bufio":    "bufio",
	"bytes":    "bytes",
	"context":  "context",
	"errors":   "errors",
	"fmt":      "fmt",
	"html":     "html",
	"httptest": "net/http/httptest",
	"http":     "net/http",
	"io":       "io",
	"json":     "encoding/json",
	"log":      "log",
	"maps":     "maps",
	"netip":    "net/netip",
	"os":       "os",
	"signal":   "os/signal",
	"slices":   "slices",
	"slog":     "log/slog",
	"sql":      "database/sql",
	"strconv":  "strconv",
	"strings":  "strings",
	"sync":     "sync",
	"testing":  "testing",
	"time":     "time",

	"core":         module + "/core",
	"sessiontest":  module + "/core/sessiontest",
	"sweep":        module + "/core/sweep",
	"clientinfo":   module + "/core/clientinfo",
	"csrf":         module + "/core/csrf",
	"dump":         module + "/core/dump",
	"formtoken":    module + "/core/formtoken",
	"storetest":    module + "/stores/storetest",
	"memorystore":  module + "/stores/memorystore",
	"cookiestore":  module + "/stores/cookiestore",
	"filestore":    module + "/stores/filestore",
	"sqlstore":     module + "/stores/sqlstore",
	"redisstore":   module + "/stores/redisstore",
	"storeurl":     module + "/stores/storeurl",
	"ginsession":   module + "/adapters/ginsession",
	"echosession":  module + "/adapters/echosession",
	"echo5session": module + "/adapters/echo5session",
	"chisession":   module + "/adapters/chisession",

	"gin":     "github.com/gin-gonic/gin",
	"echo":    "github.com/labstack/echo/v4",
	"chi":     "github.com/go-chi/chi/v5",
	"rueidis": "github.com/redis/rueidis",
}

// given is what a fragment may use as if it had been declared before.
var given = map[string]string{
	"sessions": "*core.Manager",
	"store":    "core.Store",
	"s":        "*core.Session",
	"ctx":      "context.Context",
	"w":        "http.ResponseWriter",
	"r":        "*http.Request",
	"mux":      "*http.ServeMux",
	"t":        "*testing.T",
	"db":       "*sql.DB",
	"client":   "rueidis.Client",
	"id":       "core.ID",
	"current":  "core.ID",

	"passwordIsRight": "func(*http.Request) bool",
	"addToCart":       "func(http.ResponseWriter, *http.Request)",
}

// block is one piece of Go in a page.
type block struct {
	page string // relative to the root of the module
	line int    // of its first line
	code string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// blocksOf cuts the Go blocks out of a page.
func blocksOf(page, text string) (out []block) {
	var code []string
	start := 0
	for i, line := range strings.Split(text, "\n") {
		switch {
		case start == 0 && (line == "```go" || strings.HasPrefix(line, "```go ")):
			start = i + 2
		case start > 0 && line == "```":
			out = append(out, block{page, start, strings.Join(code, "\n") + "\n"})
			start, code = 0, nil
		case start > 0:
			code = append(code, line)
		}
	}
	if start > 0 {
		out = append(out, block{page, start, "the block does not end"})
	}
	return out
}

// pages returns README.md and every page of docs, with their text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	read := func(name string) {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.ToSlash(name)] = string(text)
	}
	read("README.md")
	err := fs.WalkDir(os.DirFS(".."), "docs", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".md") {
			read(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// source is a block made whole.
type source struct {
	block
	file     *ast.File
	fragment bool // a function's body
}

// whole parses a block. Positions in errors are those of the page.
func whole(fset *token.FileSet, b block) (source, error) {
	at := fmt.Sprintf("//line %s:%d\n", b.page, b.line)
	parse := func(text string) (*ast.File, error) {
		return parser.ParseFile(fset, b.String(), text, parser.ParseComments|parser.SkipObjectResolution)
	}
	if strings.HasPrefix(b.code, "package ") {
		file, err := parse(at + b.code)
		return source{b, file, false}, err
	}
	file, err := parse("package p\n" + at + b.code)
	fragment := false
	if err != nil {
		fragment = true
		if file, err = parse("package p\nfunc _() {\n" + at + b.code + "\n}\n"); err != nil {
			return source{}, err
		}
	}
	// The head comes in front: imports and given names, of what is used.
	imported := map[string]bool{}
	for _, imp := range importsOf(file.Imports) {
		imported[imp] = true
	}
	declared, used, qualifiers := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			declared[d.Name.Name] = d.Recv == nil
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						declared[n.Name] = true
					}
				case *ast.TypeSpec:
					declared[spec.Name.Name] = true
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			used[n.Name] = true
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				qualifiers[x.Name] = true
			}
		}
		return true
	})
	var head strings.Builder
	for name, typ := range given {
		if used[name] && !declared[name] {
			fmt.Fprintf(&head, "var %s %s\n", name, typ)
			for q := range wellKnown {
				if strings.Contains(typ, q+".") {
					qualifiers[q] = true
				}
			}
		}
	}
	var imports strings.Builder
	for name := range qualifiers {
		if path, ok := wellKnown[name]; ok && !imported[path] && !declared[name] {
			fmt.Fprintf(&imports, "import %s %q\n", name, path)
		}
	}
	body := at + b.code
	if fragment {
		body = "func _() {\n" + body + "\n}\n"
	}
	file, err = parse("package p\n" + imports.String() + body + "\n" + head.String())
	return source{b, file, fragment}, err
}

func importsOf(specs []*ast.ImportSpec) (out []string) {
	for _, spec := range specs {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil {
			out = append(out, imp)
		}
	}
	return out
}

// compiled returns an importer for the given packages, from what the go command
// has compiled of them.
func compiled(t *testing.T, fset *token.FileSet, packages []string) types.Importer {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, packages...)...)
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no such package: %s", path)
		}
		return os.Open(exports[path])
	})
}

// check compiles a block and returns what is wrong with it.
func (src source) check(fset *token.FileSet, imp types.Importer) (out []error) {
	cfg := types.Config{Importer: imp, Error: func(err error) {
		if te := (types.Error{}); errors.As(err, &te) && te.Soft && src.fragment {
			return
		}
		out = append(out, err)
	}}
	cfg.Check(src.file.Name.Name, fset, []*ast.File{src.file}, nil)
	return out
}

// TestDocs compiles every block of Go in README.md and docs.
func TestDocs(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	var sources []source
	var packages []string
	for page, text := range pages(t) {
		for _, b := range blocksOf(page, text) {
			src, err := whole(fset, b)
			if err != nil {
				t.Error(err)
				continue
			}
			if pretty, err := format.Source([]byte(b.code)); err != nil || string(pretty) != b.code {
				t.Errorf("%s: not as gofmt has it: %v", b, err)
			}
			sources = append(sources, src)
			packages = append(packages, importsOf(src.file.Imports)...)
		}
	}
	if len(sources) == 0 {
		t.Fatal("found no Go in README.md or docs")
	}
	slices.Sort(packages)
	imp := compiled(t, fset, slices.Compact(packages))
	for _, src := range sources {
		for _, err := range src.check(fset, imp) {
			t.Error(err)
		}
	}
}

// TestDocsCheck shows that blocks which do not compile are found, where they
// stand, and that those of each kind which do are left in peace.
func TestDocsCheck(t *testing.T) {
	t.Parallel()
	const page = "# Page\n\n" +
		"```go\npackage main\n\nfunc main() { undefined() }\n```\n" + // line 4
		"```go\nvar visits = core.NewKey[int](\"visits\")\n\nfunc f() int { return visits.GetOr(s, 0) }\n```\n" + // fine
		"```go\ns.Login(\"user-42\")\nunused := 1\n```\n" + // fine
		"```go\ns.Log1n(\"user-42\")\n```\n" + // line 19
		"```sh\nnot Go\n```\n" +
		"```go\nimport \"os\"\n\nvar host, _ = os.Hostname()\nvar wrong int = \"text\"\n```\n" // line 25
	fset := token.NewFileSet()
	blocks := blocksOf("page.md", page)
	if len(blocks) != 5 {
		t.Fatalf("%d blocks", len(blocks))
	}
	var got []string
	imp := compiled(t, fset, []string{"os", "context", "net/http", module + "/core"})
	for _, b := range blocks {
		src, err := whole(fset, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range src.check(fset, imp) {
			te := types.Error{}
			if !errors.As(err, &te) {
				t.Fatal(err)
			}
			at := fset.Position(te.Pos)
			got = append(got, fmt.Sprintf("%s:%d %.30s", at.Filename, at.Line, te.Msg))
		}
	}
	want := []string{
		"page.md:6 undefined: undefined",
		"page.md:18 s.Log1n undefined (type *core.",
		"page.md:27 cannot use \"text\" (untyped str",
	}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(want[i], got[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

var testName = regexp.MustCompile("`((?:Test|Fuzz|Example|Benchmark)[A-Z][A-Za-z0-9_]*)(?:/[^`]*)?`")

// TestDocsNameTests checks that every test which a page names as its proof
// exists.
func TestDocsNameTests(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				declared[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages(t) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			if !declared[m[1]] {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
}
