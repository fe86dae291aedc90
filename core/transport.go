package core

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Transport carries the sealed token between client and server, for clients
// that keep no cookies: [HeaderTransport], [QueryTransport] or one of your own.
// See [Config].Transport. Safe for concurrent use.
type Transport interface {
	// Receive returns what a request presents: nothing, one value, or
	// several. They may be anything: the manager checks them.
	Receive(r *http.Request) []string
	// Send puts a value into the header of the response; "" takes back what
	// the client has. After lifetime the client may forget it; 0 leaves that
	// to the client. Values are of the characters A-Z a-z 0-9 - _ =.
	Send(h http.Header, value string, lifetime time.Duration)
	// Vary names the request header that Receive reads, or "".
	Vary() string
}

// hider is a Transport that can make a request forget what it presented.
type hider interface{ hide(r *http.Request) }

// HeaderTransport carries the token in a header of this name, in both
// directions: a client sends what it was sent last, and an empty value tells
// it to forget. It is for API clients. Scripts in a page can read it, so a
// page is better served by a cookie.
func HeaderTransport(name string) Transport {
	return headerTransport(http.CanonicalHeaderKey(name))
}

type headerTransport string

func (t headerTransport) Receive(r *http.Request) []string { return r.Header[string(t)] }
func (t headerTransport) Vary() string                     { return string(t) }

func (t headerTransport) Send(h http.Header, value string, _ time.Duration) {
	h[string(t)] = []string{value}
}

func (t headerTransport) hide(r *http.Request) {
	r.Header = r.Header.Clone()
	delete(r.Header, string(t))
}

// QueryTransport carries the token in a query parameter of this name, in links
// that [Session.EncodeURL] made. It is for clients that have neither cookies
// nor scripts, and a risk: URLs are bookmarked, shared, logged and kept in
// histories, and whoever has the URL has the session (OWASP Session Management
// Cheat Sheet). Responses that used the session forbid caches to keep them and
// browsers to send their URL as a Referer to other sites. Not for cookie-only
// stores.
func QueryTransport(param string) Transport { return queryTransport(param) }

type queryTransport string

func (t queryTransport) Receive(r *http.Request) []string {
	var values []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(part, "=")
		if !t.names(name) || strings.Contains(part, ";") {
			continue
		}
		if value, err := url.QueryUnescape(value); err == nil {
			values = append(values, value)
		}
		if len(values) == maxCandidates {
			break
		}
	}
	return values
}

// names reports whether the name of a parameter, as it stands in a URL, is t.
func (t queryTransport) names(name string) bool {
	if strings.ContainsAny(name, "%+") {
		name, _ = url.QueryUnescape(name)
	}
	return name == string(t)
}

func (t queryTransport) Send(http.Header, string, time.Duration) {} // links do
func (t queryTransport) Vary() string                            { return "" }

func (t queryTransport) hide(r *http.Request) {
	u := *r.URL
	u.RawQuery = t.without(u.RawQuery)
	r.URL = &u
}

// without returns a raw query without the parameter, the rest as it was.
func (t queryTransport) without(query string) string {
	if query == "" {
		return ""
	}
	parts := slices.DeleteFunc(strings.Split(query, "&"), func(part string) bool {
		name, _, _ := strings.Cut(part, "=")
		return t.names(name)
	})
	return strings.Join(parts, "&")
}

// validTransport refuses what could not work.
func validTransport(t Transport) (rule string, ok bool) {
	switch t := t.(type) {
	case headerTransport:
		for _, b := range []byte(t) {
			if !isToken(b) {
				return "a header's name is an HTTP token", false
			}
		}
		switch t {
		case "":
			return "the header needs a name", false
		case "Cookie", "Set-Cookie", "Vary", "Cache-Control", "Content-Length", "Transfer-Encoding", "Connection", "Host":
			return "the header " + string(t) + " has another meaning", false
		}
	case queryTransport:
		if t == "" || url.QueryEscape(string(t)) != string(t) {
			return "the parameter needs a name of letters, digits and - _ .", false
		}
	}
	return "", true
}

// EncodeURL adds the session to a link, if [Config].Transport is a
// [QueryTransport]; otherwise it returns the link as it is. So it does with a
// link to another origin than that of the request, with one that cannot be
// parsed, and with one to a place on the same page (#top). Another fragment stays
// at the end.
//
// A session that is new, or that has just logged in, is stored at once, since
// the link has to name it, and as after [Session.Save] it stays stored if the
// handler fails later: call EncodeURL after the changes, and before the first
// byte if the session is new. [Session.Err] tells what went wrong.
func (s *Session) EncodeURL(link string) string {
	defer s.lock()()
	t, ok := s.m.transport.(queryTransport)
	if !ok || strings.HasPrefix(link, "#") || !s.use(false) {
		return link
	}
	u, ok := s.sameOrigin(link)
	if !ok {
		return link
	}
	if !s.found || s.rotate || s.login {
		if err := s.commit(); err != nil {
			s.fail(err)
			return link
		}
	}
	if !s.found || s.readOnly {
		return link
	}
	if s.cookie != setCookie {
		line, err := s.sealed(&s.rec, s.tok)
		if err != nil {
			s.fail(err)
			return link
		}
		s.cookie, s.line = setCookie, line
	}
	query := t.without(u.RawQuery)
	if query != "" {
		query += "&"
	}
	u.RawQuery = query + string(t) + "=" + url.QueryEscape(s.line)
	return u.String()
}

// sameOrigin parses a link and reports whether it leads back to the origin of
// the request, as a browser would read it.
func (s *Session) sameOrigin(link string) (*url.URL, bool) {
	if s.request == nil || strings.ContainsRune(link, '\\') { // browsers take it for a slash
		return nil, false
	}
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.User != nil || u.Host == "" && (u.Scheme != "" || strings.HasPrefix(link, "//")) {
		return nil, false
	}
	if u.Host != "" && !strings.EqualFold(u.Host, s.request.Host) {
		return nil, false
	}
	// Behind a proxy that ends TLS, https is right although this server does
	// not see it; http never is where TLS is seen.
	switch u.Scheme {
	case "", "https":
	case "http":
		if s.request.TLS != nil {
			return nil, false
		}
	default:
		return nil, false
	}
	return u, true
}
