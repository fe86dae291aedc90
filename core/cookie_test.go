package core

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzFindCookies holds the scanner against net/http, which it must equal for
// every header that a server lets through.
func FuzzFindCookies(f *testing.F) {
	for _, seed := range []string{
		"", "session=abc", "a=1; session=abc; b=2", "session=; session=x", `session="quoted"`, `session="`, "session", " session = v ; x",
		"Session=upper", "session=a=b", "xsession=1;session =2", "session=\x00", "session=\x7f", "session=\x1f", "session=a b", "session=ü", `x="a; session=V; b=y"`,
		"$Version=1; session=V", "\u2000session=V", "session=a,b", ";;;session=1;;", "session=a\r", "session=\t a \t",
		strings.Repeat("a=;", 2998) + "session=1", strings.Repeat("a=;", 3500) + "session=1",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		lines := []string{a, b}
		r := &http.Request{Header: http.Header{"Cookie": lines}}
		var want, got []string
		for _, c := range r.CookiesNamed("session") {
			want = append(want, c.Value)
		}
		findCookies(lines, "session", func(v string) bool { got = append(got, v); return true })
		if !slices.Equal(got, want) {
			t.Fatalf("Cookie: %q and %q\n got %q\nwant %q", a, b, got, want)
		}
	})
}

func TestFindCookiesStops(t *testing.T) {
	n := 0
	findCookies([]string{"s=1; s=2", "s=3"}, "s", func(string) bool { n++; return n < 2 })
	if n != 2 {
		t.Fatalf("went on to %d cookies after being told to stop at 2", n)
	}
}

func TestCookieConfig(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  CookieConfig
		err  string // substring, or ""
		want CookieConfig
	}{
		{"zero", CookieConfig{}, "", CookieConfig{Name: "__Host-session", Path: "/", SameSite: http.SameSiteLaxMode}},
		{"insecure", CookieConfig{Insecure: true}, "", CookieConfig{Name: "session", SameSite: http.SameSiteLaxMode, Insecure: true}},
		{"path", CookieConfig{Path: "/q"}, "", CookieConfig{Name: "__Secure-session", Path: "/q/", SameSite: http.SameSiteLaxMode}},
		{"domain", CookieConfig{Domain: "example.com"}, "", CookieConfig{Name: "__Secure-session", Domain: "example.com", SameSite: http.SameSiteLaxMode}},
		{"host with domain", CookieConfig{Name: "__Host-x", Domain: "example.com"}, "Domain", CookieConfig{}},
		{"host in capitals with path", CookieConfig{Name: "__HOST-x", Path: "/app"}, "Path", CookieConfig{}},
		{"host insecure", CookieConfig{Name: "__Host-x", Insecure: true}, "Insecure", CookieConfig{}},
		{"secure insecure", CookieConfig{Name: "__Secure-x", Insecure: true}, "Insecure", CookieConfig{}},
		{"none insecure", CookieConfig{SameSite: http.SameSiteNoneMode, Insecure: true}, "SameSite", CookieConfig{}},
		{"partitioned insecure", CookieConfig{Partitioned: true, Insecure: true}, "Partitioned", CookieConfig{}},
		{"default samesite", CookieConfig{SameSite: http.SameSiteDefaultMode}, "SameSite", CookieConfig{}},
		{"name space", CookieConfig{Name: "a b"}, "Name", CookieConfig{}},
		{"name crlf", CookieConfig{Name: "a\r\nX: y"}, "Name", CookieConfig{}},
		{"name semicolon", CookieConfig{Name: "a;b"}, "Name", CookieConfig{}},
		{"name long", CookieConfig{Name: strings.Repeat("a", 256)}, "Name", CookieConfig{}},
		{"path crlf", CookieConfig{Path: "/a\r\nSet-Cookie:x"}, "Path", CookieConfig{}},
		{"path space", CookieConfig{Path: "/a b"}, "Path", CookieConfig{}},
		{"path not ASCII", CookieConfig{Path: "/ü"}, "Path", CookieConfig{}},
		{"path deleted", CookieConfig{Path: "/a\x7f"}, "Path", CookieConfig{}},
		{"path semicolon", CookieConfig{Path: "/a;b"}, "Path", CookieConfig{}},
		{"path relative", CookieConfig{Path: "a"}, "Path", CookieConfig{}},
		{"path long", CookieConfig{Path: "/" + strings.Repeat("a", 1023)}, "Path", CookieConfig{}},
		{"domain crlf", CookieConfig{Domain: "a\nb"}, "Domain", CookieConfig{}},
		{"domain label", CookieConfig{Domain: "a..b"}, "Domain", CookieConfig{}},
		{"domain port", CookieConfig{Domain: "a:80"}, "Domain", CookieConfig{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.cfg.withDefaults()
			if tc.err != "" {
				if err == nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("err = %v, want an ErrConfig that names %s", err, tc.err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

// The line must read back, by net/http's own parser, as the cookie that was
// asked for, and clearing must name the same scope.
func TestCookieLine(t *testing.T) {
	for _, cfg := range []CookieConfig{
		{}, {Insecure: true}, {Path: "/app/", Domain: "example.com"}, {SameSite: http.SameSiteStrictMode},
		{SameSite: http.SameSiteNoneMode, Partitioned: true},
	} {
		c, err := cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		m := &Manager{cookie: c, attributes: c.attributes()}
		path := cmp.Or(c.Path, "/mounted/")
		set := parseLine(t, m.cookieLine([]byte("VALUE="), 0, path))
		if set.Name != c.Name || set.Value != "VALUE=" || set.Path != path || set.Domain != c.Domain || set.MaxAge != 0 ||
			!set.HttpOnly || set.Secure == c.Insecure || set.SameSite != c.SameSite || set.Partitioned != c.Partitioned {
			t.Errorf("%+v gives %q", cfg, set.Raw)
		}
		gone := parseLine(t, m.clearLine(path))
		if gone.Value != "" || gone.MaxAge != -1 || !strings.Contains(gone.Raw, "Max-Age=0") {
			t.Errorf("clear line %q does not clear", gone.Raw)
		}
		gone.Value, gone.MaxAge = set.Value, set.MaxAge
		gone.Raw, set.Raw = "", ""
		if gone.String() != set.String() {
			t.Errorf("scopes differ: set %q, clear %q", set, gone)
		}
		for _, age := range []time.Duration{90 * time.Second, 90*time.Second - 3*time.Millisecond} {
			if kept := parseLine(t, m.cookieLine([]byte("v"), age, path)); kept.MaxAge != 90 {
				t.Errorf("Max-Age %d for %v, want 90", kept.MaxAge, age)
			}
		}
	}
}

// Feature P6: Comment and Version are not offered, since browsers ignore them.
// Fails if an attribute is added that is not one of RFC 6265bis or CHIPS.
func TestCookieAttributes(t *testing.T) {
	known := []string{"Max-Age", "Path", "Domain", "HttpOnly", "Secure", "SameSite", "Partitioned"}
	c, err := CookieConfig{Path: "/a", Domain: "example.com", SameSite: http.SameSiteNoneMode, Partitioned: true, Persistent: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m := &Manager{cookie: c, attributes: c.attributes()}
	for _, line := range []string{m.cookieLine([]byte("v"), time.Hour, c.Path), m.clearLine(c.Path)} {
		var got []string
		for _, part := range strings.Split(line, "; ")[1:] {
			name, _, _ := strings.Cut(part, "=")
			got = append(got, name)
		}
		if !slices.Equal(got, known) {
			t.Errorf("%q has the attributes %q, want %q", line, got, known)
		}
	}
}

func parseLine(t *testing.T, line string) *http.Cookie {
	t.Helper()
	c, err := http.ParseSetCookie(line)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return c
}
