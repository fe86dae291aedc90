package core

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CookieConfig describes the cookie. HttpOnly is always set and cannot be
// turned off (OWASP ASVS 3.3.4).
type CookieConfig struct {
	// Name. Default: "__Host-session"; "__Secure-session" if Path or Domain
	// is set; "session" if Insecure.
	Name string
	// Path that the cookie is sent to, starting and ending with "/", of at
	// most 1024 bytes; a missing "/" at the end is added, so that /q does not
	// cover /qux. Nor does it cover /q itself: link to /q/.
	// Default: "/" for a Name that begins with __Host-, as the default one
	// does, since browsers demand it; with another Name it is where the
	// middleware is mounted: what http.StripPrefix took off before it, and
	// the group of routes that the NewAt of an adapter was told.
	Path string
	// Domain, to share the cookie with subdomains. Default: none, so only
	// this very host receives it.
	Domain string
	// SameSite. None needs a secure cookie. Default: Lax.
	SameSite http.SameSite
	// Partitioned keeps a cookie of an embedded site apart per top-level
	// site (CHIPS). Needs a secure cookie. Default: false.
	Partitioned bool
	// Persistent makes the cookie outlive the browser, until the session's
	// absolute limit. Session.Persist does it for one session. Default:
	// false, so it ends with the browser.
	Persistent bool
	// Insecure is for development over plain HTTP with browsers that refuse
	// Secure cookies on localhost, as Safari does. It drops Secure and the
	// name's prefix, and with that the reason for Path to be "/": set it, if
	// the cookie is to go where that of production does. Default: false.
	Insecure bool
}

const (
	// maxCookie is what browsers keep of name and value together (RFC 6265bis).
	maxCookie = 4096
	// maxPath is how long a path may be: browsers leave out an attribute that
	// is longer, and take a path of their own (RFC 6265bis).
	maxPath = 1024
)

// withDefaults returns the configuration that is in force, or says which
// fields contradict each other.
func (c CookieConfig) withDefaults() (CookieConfig, error) {
	bad := func(format string, args ...any) (CookieConfig, error) {
		return c, fmt.Errorf("%w: Cookie: "+format, append([]any{ErrConfig}, args...)...)
	}
	if c.Path != "" && c.Path[0] != '/' {
		return bad("Path %q must start with /", c.Path)
	}
	if c.Path != "" && c.Path[len(c.Path)-1] != '/' {
		c.Path += "/"
	}
	if len(c.Path) > maxPath {
		return bad("Path has %d bytes, and browsers ignore one of more than %d", len(c.Path), maxPath)
	}
	for _, f := range []struct{ field, value string }{{"Path", c.Path}, {"Domain", c.Domain}} {
		if b, ok := badAttributeByte(f.value); ok {
			return bad("%s contains the byte %#02x, which cannot stand in a header", f.field, b)
		}
	}
	if c.Domain != "" && !validDomain(c.Domain) {
		return bad("Domain %q is not a host name", c.Domain)
	}
	if c.Name == "" {
		switch {
		case c.Insecure:
			c.Name = "session"
		case c.Path != "/" && c.Path != "" || c.Domain != "":
			c.Name = "__Secure-session"
		default:
			c.Name = "__Host-session"
		}
	}
	if len(c.Name) > 255 {
		return bad("Name has %d bytes, at most 255 are sensible", len(c.Name))
	}
	for _, b := range []byte(c.Name) {
		if !isToken(b) {
			return bad("Name contains the byte %#02x; a cookie name is an HTTP token", b)
		}
	}
	// Browsers compare the prefixes without regard to case, and refuse the
	// cookie if its attributes do not fit.
	lower := strings.ToLower(c.Name)
	for _, prefix := range []string{"__host-", "__secure-", "__http-", "__host-http-"} {
		if strings.HasPrefix(lower, prefix) && c.Insecure {
			return bad("Name %q needs Secure, but Insecure is set", c.Name)
		}
	}
	if strings.HasPrefix(lower, "__host-") {
		if c.Domain != "" {
			return bad("Name %q allows no Domain, but Domain is %q; name it __Secure-", c.Name, c.Domain)
		}
		if c.Path == "" {
			c.Path = "/"
		}
		if c.Path != "/" {
			return bad("Name %q needs Path /, but Path is %q; name it __Secure-", c.Name, c.Path)
		}
	}
	switch c.SameSite {
	case 0:
		c.SameSite = http.SameSiteLaxMode
	case http.SameSiteLaxMode, http.SameSiteStrictMode:
	case http.SameSiteNoneMode:
		if c.Insecure {
			return bad("SameSite None needs Secure, but Insecure is set")
		}
	default:
		return bad("SameSite must be Lax, Strict or None")
	}
	if c.Partitioned && c.Insecure {
		return bad("Partitioned needs Secure, but Insecure is set")
	}
	return c, nil
}

// badAttributeByte finds a byte that cannot stand in a Path or Domain.
func badAttributeByte(v string) (b byte, found bool) {
	for _, b := range []byte(v) {
		if !isAttributeByte(b) {
			return b, true
		}
	}
	return 0, false
}

func isAttributeByte(b byte) bool {
	return b > 0x20 && b < 0x7f && b != ';' && b != ',' && b != '"' && b != '\\'
}

// mountPath is the path of the cookie where it follows the mount: what
// http.StripPrefix took off the path that was asked for, and besides as many
// segments as the group of routes has, each as the client spelled it, since
// that is what a browser compares. It is "/" where something rewrote the path.
func mountPath(r *http.Request, group string) string {
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	if _, rest, ok := strings.Cut(asked, "://"); ok && asked[0] != '/' { // a proxy asks by the whole URL
		_, rest, _ = strings.Cut(rest, "/")
		asked = "/" + rest
	}
	here := r.URL.EscapedPath()
	if asked == "" { // the request was not read from a connection
		asked = here
	}
	if asked == here && group == "" {
		return "/"
	}
	all, left := segments(asked), segments(here)
	taken := len(all) - len(left)
	if taken < 0 || !slices.EqualFunc(all[taken:], left, sameSegment) {
		return "/"
	}
	if taken += len(segments(group)); taken > len(all) {
		return "/"
	}
	var b strings.Builder
	for _, segment := range all[:taken] {
		b.WriteByte('/')
		for _, c := range []byte(segment) {
			// A browser does not find again what is spelled in another way;
			// but no cookie there is better than one for all places.
			if isAttributeByte(c) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	path := b.String()
	return path[:min(len(path), maxPath-1)] + "/"
}

// segments returns those of a path, as routers that clean it see them.
func segments(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

// sameSegment reports whether two spellings of a segment are of the same one.
func sameSegment(a, b string) bool {
	if a == b {
		return true
	}
	a, errA := url.PathUnescape(a)
	b, errB := url.PathUnescape(b)
	return errA == nil && errB == nil && a == b
}

func validDomain(d string) bool {
	d = strings.TrimPrefix(d, ".")
	if len(d) == 0 || len(d) > 253 {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

func isToken(b byte) bool {
	return b > 0x20 && b < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, rune(b))
}

// attributes is the tail of every Set-Cookie line, Path left out: one string
// for setting and clearing, so that their scopes cannot differ.
func (c CookieConfig) attributes() string {
	var b strings.Builder
	if c.Domain != "" {
		b.WriteString("; Domain=" + strings.TrimPrefix(c.Domain, "."))
	}
	b.WriteString("; HttpOnly")
	if !c.Insecure {
		b.WriteString("; Secure")
	}
	switch c.SameSite {
	case http.SameSiteStrictMode:
		b.WriteString("; SameSite=Strict")
	case http.SameSiteNoneMode:
		b.WriteString("; SameSite=None")
	default:
		b.WriteString("; SameSite=Lax")
	}
	if c.Partitioned {
		b.WriteString("; Partitioned")
	}
	return b.String()
}

// cookieLine builds a Set-Cookie line. With maxAge 0 the cookie ends with the
// browser.
func (m *Manager) cookieLine(value []byte, maxAge time.Duration, path string) string {
	var b strings.Builder
	b.Grow(len(m.cookie.Name) + 1 + len(value) + len("; Max-Age=34560000; Path=") + len(path) + len(m.attributes))
	b.WriteString(m.cookie.Name)
	b.WriteByte('=')
	b.Write(value)
	if maxAge > 0 {
		b.WriteString("; Max-Age=")
		// To the nearest second: thirty days, less the moment that the
		// handler took, are thirty days.
		b.WriteString(strconv.FormatInt(int64(max(maxAge.Round(time.Second)/time.Second, 1)), 10))
	}
	b.WriteString("; Path=")
	b.WriteString(path)
	b.WriteString(m.attributes)
	return b.String()
}

// clearLine builds the line that makes the browser forget the cookie.
func (m *Manager) clearLine(path string) string {
	return m.cookie.Name + "=; Max-Age=0; Path=" + path + m.attributes
}

// parsed is a line of ours as net/http has it.
func parsed(line string) *http.Cookie {
	c, _ := http.ParseSetCookie(line)
	return c
}

// warnPlain says once that a Secure cookie was sent where it will not come
// back: over plain HTTP browsers keep it only from localhost.
func (m *Manager) warnPlain(r *http.Request) {
	if m.warned.Load() || m.cookie.Insecure || r.TLS != nil ||
		strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") || r.Header.Get("Forwarded") != "" {
		return
	}
	// A server that listens on the loopback is a developer's, or has a proxy
	// beside it that may say nothing. Without an address it is a test.
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || addr.IP.IsLoopback() || m.warned.Swap(true) {
		return
	}
	m.log.Warn("session: a Secure cookie went out over plain HTTP, and browsers will not keep it; serve HTTPS, or have the proxy in front set X-Forwarded-Proto; to develop without HTTPS, set Config.Cookie.Insecure")
}

const (
	// maxCandidates bounds how many cookies of the name are tried.
	maxCandidates = 64
	// maxCookiePairs is net/http's own limit (Go 1.25.2, CVE-2025-58186): a
	// request with more is treated as one without cookies.
	maxCookiePairs = 3000
)

// findCookies calls yield with the value of every cookie of the name, as
// http.Request.CookiesNamed would return it, reading each header line once.
func findCookies(lines []string, name string, yield func(value string) bool) {
	pairs := 0
	for _, line := range lines {
		pairs += 1 + strings.Count(line, ";")
	}
	if pairs > maxCookiePairs {
		return
	}
	for _, line := range lines {
		for len(line) > 0 {
			var part string
			part, line, _ = strings.Cut(line, ";")
			// Cheap refusals first: most parts are other cookies.
			if len(part) < len(name) {
				continue
			}
			n, value, _ := strings.Cut(part, "=")
			if trimSpace(n) != name {
				continue
			}
			if value, ok := cookieValue(trimRight(value)); ok && !yield(value) {
				return
			}
		}
	}
}

// HasCookie reports whether a request carries a cookie of the session's name,
// whatever it holds, or else what [Config].Transport reads. It asks no store.
// After Destroy, the rest of the request does not see the cookie any more.
func (m *Manager) HasCookie(r *http.Request) bool {
	if m.transport != nil {
		return len(m.transport.Receive(r)) > 0
	}
	found := false
	findCookies(r.Header["Cookie"], m.cookie.Name, func(string) bool {
		found = true
		return false
	})
	return found
}

// withoutCookie returns header lines without the cookies of a name.
func withoutCookie(lines []string, name string) []string {
	var kept []string
	for _, line := range lines {
		var parts []string
		for part := range strings.SplitSeq(line, ";") {
			n, _, _ := strings.Cut(part, "=")
			if n = trimSpace(n); n != name && n != "" {
				parts = append(parts, trimSpace(part))
			}
		}
		if len(parts) > 0 {
			kept = append(kept, strings.Join(parts, "; "))
		}
	}
	return kept
}

// trimSpace and trimRight remove what net/textproto calls space.
func trimSpace(s string) string {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	return trimRight(s)
}

func trimRight(s string) string {
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// cookieValue strips one pair of quotes and refuses bytes that RFC 6265 does
// not allow.
func cookieValue(v string) (string, bool) {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	for i := range len(v) {
		if octets[v[i]]&cookieOctet == 0 {
			return "", false
		}
	}
	return v, true
}

const (
	cookieOctet = 1 << iota // may stand in the value of a cookie
	wordOctet               // of base64url: A-Z a-z 0-9 _ -
	sealOctet               // base64url and its padding
)

// octets says where each byte may stand. It is a table because a loop runs
// over every byte of every cookie.
var octets = func() (t [256]uint8) {
	for b := range t {
		c := byte(b)
		if c >= 0x20 && c < 0x7f && c != '"' && c != ';' && c != '\\' {
			t[c] |= cookieOctet
		}
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-':
			t[c] |= wordOctet | sealOctet
		case c == '=':
			t[c] |= sealOctet
		}
	}
	return t
}()
