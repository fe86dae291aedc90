package storeurl

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// location is a URL that was understood.
type location struct {
	scheme         string
	user, password string
	host           string // with its port
	path           string
	escapedPath    string
	own            map[string][]string // parameters of this package, decoded
	rest           []string            // those of the driver, as they were written
	secrets        []string            // what no error may show

	err error // of the first parameter that was no good
}

// malformed is the error for text that may hold a password where none was
// expected: nothing of it is quoted.
func malformed() error {
	return refuse("not a URL; write scheme://user:password@host:port/path?name=value, with %%XX for other characters than letters and digits in user, password and path; known schemes: %s", known())
}

// parse understands a URL.
func parse(raw string) (*location, error) {
	if raw == "" {
		return nil, refuse("the URL is empty; is the variable set? Write memory://, or another of the schemes %s", known())
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !word(scheme) {
		return nil, malformed()
	}
	scheme = strings.ToLower(scheme)
	kind, ok := schemes[scheme]
	if !ok {
		return nil, refuse("unknown scheme %q; known: %s", scheme, known())
	}
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(rest, "#") {
		return nil, malformed()
	}
	// A password with a character that ends it too early leaves its @ behind.
	if end := strings.IndexAny(rest, "/?"); kind.server && end >= 0 && strings.Contains(rest[end:], "@") {
		return nil, malformed()
	}
	if !kind.server && (u.User != nil || u.Host != "") {
		return nil, refuse("%s takes neither host nor user; begin its path with a third slash: %s:///var/lib/app/...", scheme, scheme)
	}
	l := &location{scheme: scheme, host: u.Host, path: u.Path, escapedPath: u.EscapedPath(), own: map[string][]string{}}
	if u.User != nil {
		l.user = u.User.Username()
		l.password, _ = u.User.Password()
		_, written, _ := strings.Cut(rest[:strings.LastIndex(rest, "@")], ":")
		l.hide(l.password, written)
	}
	if u.RawQuery == "" {
		return l, nil
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !word(name) {
			return nil, refuse("a parameter has no name, or an odd one; known: %s", strings.Join(kind.params, ", "))
		}
		if !slices.Contains(kind.params, name) {
			if passed := driverParam[scheme]; passed == nil || !passed(name) {
				return nil, refuse("%s has no parameter %q; known: %s", scheme, name, strings.Join(kind.params, ", "))
			}
			l.rest = append(l.rest, pair)
			if plain, err := url.QueryUnescape(value); err != nil || secret(name, plain) {
				l.hide(plain, value)
			}
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil || value == "" {
			return nil, refuse("parameter %s has no value, or one that is not percent-encoded as it should be", name)
		}
		if l.own[name] = append(l.own[name], value); len(l.own[name]) > 1 && name != "addr" {
			return nil, refuse("parameter %s is there twice", name)
		}
	}
	if l.text("socket") != "" && (l.host != "" || l.text("addr") != "") {
		return nil, refuse("parameter socket is in place of a host; leave the host out: %s://user:password@/...", scheme)
	}
	return l, nil
}

// hide notes a password, in all spellings, as what no error may show.
func (l *location) hide(password, written string) {
	for _, s := range []string{password, written, url.QueryEscape(password), url.PathEscape(password), strconv.Quote(password)} {
		if s = strings.Trim(s, `"`); s != "" && !slices.Contains(l.secrets, s) {
			l.secrets = append(l.secrets, s)
		}
	}
}

// secret reports whether a parameter of a driver is a password or the key of an
// encrypted file: password, sslpassword, _auth_pass, _pragma_key, _pragma=key('...').
func secret(name, value string) bool {
	if _, err := strconv.ParseBool(value); err == nil {
		return false // allowOldPasswords
	}
	name, value = strings.ToLower(name), strings.ToLower(value)
	return strings.Contains(name, "pass") || strings.HasSuffix(name, "_key") || name == "_pragma" && strings.Contains(value, "key(")
}

// word reports whether s is plain enough for a name.
func word(s string) bool {
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case c >= 'a' && c <= 'z', s[i] >= '0' && s[i] <= '9', s[i] == '_', s[i] == '-', s[i] == '.', s[i] == '+':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (l *location) text(name string) string {
	if values := l.own[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// bad notes that a parameter is no good. Its value is not quoted.
func (l *location) bad(name, want string) {
	if l.err == nil {
		l.err = refuse("parameter %s is not %s", name, want)
	}
}

func (l *location) number(name string) int64 {
	text := l.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, strconv.IntSize)
	if err != nil || n < 1 {
		l.bad(name, "a number of 1 or more")
		return 0
	}
	return n
}

func (l *location) duration(name string) time.Duration {
	text := l.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		l.bad(name, "a duration such as 90s or 5m, of a millisecond or more")
		return 0
	}
	return d
}

func (l *location) yes(name string) bool {
	text := l.text(name)
	if text == "" {
		return false
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		l.bad(name, "1 or 0")
	}
	return b
}
