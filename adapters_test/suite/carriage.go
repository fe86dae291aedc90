package suite

import (
	"net/http"
	"strings"
)

// carriage is how a client and the application hand each other the token.
type carriage interface {
	// header is what a client presents these values in.
	header(values ...string) (name string, lines []string)
	// received returns what an answer gives the client, as a cookie: with a
	// negative MaxAge if it takes the token back.
	received(h http.Header) []*http.Cookie
	// vary is the request header that the answers depend on.
	vary() string
}

// cookieName is the default.
const cookieName = "__Host-session"

// byCookie is the default carriage.
var byCookie carriage = cookie(cookieName)

// cookie is the carriage in a cookie of this name.
type cookie string

func (c cookie) header(values ...string) (string, []string) {
	return "Cookie", []string{string(c) + "=" + strings.Join(values, "; "+string(c)+"=")}
}

func (c cookie) received(h http.Header) (out []*http.Cookie) {
	for _, line := range (&http.Response{Header: h}).Cookies() {
		if line.Name == string(c) {
			out = append(out, line)
		}
	}
	return out
}

func (c cookie) vary() string { return "Cookie" }

// headerName is where byHeader has the token.
const headerName = "X-Session"

// byHeader is the carriage in a header, for clients that keep no cookies.
var byHeader carriage = header(headerName)

// header is the carriage in a header of this name, both ways.
type header string

func (h header) header(values ...string) (string, []string) { return string(h), values }

func (h header) received(got http.Header) (out []*http.Cookie) {
	for _, value := range got[string(h)] {
		c := &http.Cookie{Name: string(h), Value: value}
		if value == "" {
			c.MaxAge = -1
		}
		out = append(out, c)
	}
	return out
}

func (h header) vary() string { return string(h) }
