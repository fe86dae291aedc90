package adapters_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/coatcheck/sessions"

// policy says what each package of the module may import besides the standard
// library. It is a statement of what the house is: core knows neither a store
// nor a framework; an adapter knows core and one major version of one
// framework; a store knows core and at most one client library. Whoever uses
// one of them pays for no other. A package that is not here may not exist.
//
// Tests and the modules nested in this one may import what they like; a line
// added or widened here deserves a decision in docs/adr.
var policy = map[string][]string{
	"core":             {"github.com/gorilla/securecookie", "github.com/fxamacker/cbor/v2"},
	"core/sessiontest": {"core"},
	"core/clientinfo":  {"core"},
	"core/dump":        {"core"},
	"core/formtoken":   {"core"},
	"core/csrf":        {"core"},
	"core/sweep":       {"core"},

	"adapters/ginsession":   {"core", "github.com/gin-gonic/gin"},
	"adapters/echosession":  {"core", "github.com/labstack/echo/v4"},
	"adapters/echo5session": {"core", "github.com/labstack/echo/v5"},
	"adapters/chisession":   {"core"},

	"stores/internal/expiry": {"core"},

	"stores/memorystore": {"core", "stores/internal/expiry"},
	"stores/cookiestore": {"core"},
	"stores/filestore":   {"core", "stores/internal/expiry"},
	"stores/sqlstore":    {"core", "stores/internal/expiry"}, // database/sql, and no driver
	"stores/redisstore":  {"core", "github.com/redis/rueidis"},
	"stores/storetest":   {"core"},

	// Whoever has the store chosen by configuration pays for all of them.
	"stores/storeurl": {"core", "stores/memorystore", "stores/filestore", "stores/sqlstore", "stores/redisstore", "github.com/redis/rueidis"},

	"adapters_test/testclock": {},
	"adapters_test/suite":     {"*"},

	"examples": {"*"},
}

// kits are for tests: nothing but another kit imports them.
var kits = []string{"core/sessiontest", "stores/storetest", "adapters_test/testclock", "adapters_test/suite"}

// violations returns what in a graph of imports is against the policy.
func violations(graph map[string][]string) []string {
	var out []string
	for pkg, imports := range graph {
		may, ok := policy[pkg]
		if !ok && strings.HasPrefix(pkg, "examples/") {
			may, ok = policy["examples"], true
		}
		if !ok {
			out = append(out, pkg+" has no line in the policy")
			continue
		}
		for _, imp := range imports {
			local, ours := strings.CutPrefix(imp, module+"/")
			switch {
			case ours && slices.Contains(kits, local) && !slices.Contains(kits, pkg):
				out = append(out, fmt.Sprintf("%s imports %s, which is for tests", pkg, local))
			case ofStandardLibrary(imp), slices.Contains(may, "*"), slices.ContainsFunc(may, func(m string) bool { return covers(m, local) }):
			default:
				out = append(out, fmt.Sprintf("%s imports %s", pkg, local))
			}
		}
	}
	slices.Sort(out)
	return out
}

// ofStandardLibrary reports whether an import is of the standard library: its first
// element has no dot.
func ofStandardLibrary(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// covers reports whether an entry of the policy allows an import: the package
// itself, and those of a foreign module below it.
func covers(entry, imp string) bool {
	return imp == entry || strings.Contains(entry, ".") && strings.HasPrefix(imp, entry+"/")
}

// graphOf reads the imports of every package below root, tests left out.
func graphOf(root string) (map[string][]string, error) {
	graph := map[string][]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || exists(filepath.Join(name, "go.mod"))) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		pkg := path.Clean(filepath.ToSlash(rel))
		graph[pkg] = append(graph[pkg], importsOf(file.Imports)...)
		return nil
	})
	return graph, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// TestArrows checks the imports of the module against the policy.
func TestArrows(t *testing.T) {
	t.Parallel()
	graph, err := graphOf("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"core", "adapters/ginsession", "stores/memorystore"} {
		if len(graph[pkg]) == 0 {
			t.Errorf("found no imports of %s: the check looks in the wrong place", pkg)
		}
	}
	for _, v := range violations(graph) {
		t.Error(v)
	}
}

// TestArrowsCheck plants violations, and one of everything that is allowed.
func TestArrowsCheck(t *testing.T) {
	t.Parallel()
	got := violations(map[string][]string{
		"core":                 {"net/http", "github.com/fxamacker/cbor/v2", module + "/stores/memorystore", "github.com/gin-gonic/gin"},
		"stores/memorystore":   {module + "/core", "github.com/redis/rueidis", module + "/adapters/ginsession"},
		"adapters/ginsession":  {module + "/core", "github.com/gin-gonic/gin", "github.com/gin-gonic/gin/binding", "github.com/labstack/echo/v4"},
		"adapters/echosession": {"github.com/labstack/echo/v4", "github.com/labstack/echo/v5", "github.com/labstack/echo/v4extra"},
		"examples/hello":       {"net/http", module + "/core", module + "/stores/storetest"},
		"utilities":            {"fmt"},
	})
	want := []string{
		"adapters/echosession imports github.com/labstack/echo/v4extra",
		"adapters/echosession imports github.com/labstack/echo/v5",
		"adapters/ginsession imports github.com/labstack/echo/v4",
		"core imports github.com/gin-gonic/gin",
		"core imports stores/memorystore",
		"examples/hello imports stores/storetest, which is for tests",
		"stores/memorystore imports adapters/ginsession",
		"stores/memorystore imports github.com/redis/rueidis",
		"utilities has no line in the policy",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
