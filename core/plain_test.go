package core_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Feature W46: a Secure cookie that goes out over plain HTTP stays Secure, and
// the log says once that it will not come back. Fails if warnPlain leaves out
// one of its conditions.
func TestSecureCookieOverPlainHTTP(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080} }
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, tc := range map[string]struct {
		local    net.Addr
		edit     func(r *http.Request)
		insecure bool
		want     int
	}{
		"plain":          {local: tcp("192.0.2.1"), want: 1},
		"plain at proxy": {local: tcp("192.0.2.1"), edit: header("X-Forwarded-Proto", "http"), want: 1},
		"TLS at proxy":   {local: tcp("192.0.2.1"), edit: header("X-Forwarded-Proto", "HTTPS")},
		"RFC 7239":       {local: tcp("192.0.2.1"), edit: header("Forwarded", "proto=https")},
		"TLS":            {local: tcp("192.0.2.1"), edit: func(r *http.Request) { r.TLS = &tls.ConnectionState{} }},
		"loopback":       {local: tcp("127.0.0.1")},
		"loopback 6":     {local: tcp("::1")},
		"Unix socket":    {local: &net.UnixAddr{Name: "/run/app.sock", Net: "unix"}},
		"insecure":       {local: tcp("192.0.2.1"), insecure: true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			w := newWorld(t, func(c *core.Config) {
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				c.Cookie.Insecure = tc.insecure
			})
			visit := func(h func(s *core.Session)) *http.Response {
				r := httptest.NewRequest("GET", "/", nil)
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tc.local))
				if tc.edit != nil {
					tc.edit(r)
				}
				rec := httptest.NewRecorder()
				w.m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) { h(core.Get(r.Context())) })
				return rec.Result()
			}
			visit(func(s *core.Session) { s.User() })
			mustBe(t, "log of a response without a cookie", log.String(), "")
			for range 3 {
				cookies := visit(func(s *core.Session) { s.Set("k", "v") }).Cookies()
				mustBe(t, "cookies", len(cookies), 1)
				mustBe(t, "Secure", cookies[0].Secure, !tc.insecure)
				if strings.Contains(log.String(), cookies[0].Value) {
					t.Errorf("the log shows a token: %s", &log)
				}
			}
			if got := strings.Count(log.String(), "Secure cookie"); got != tc.want {
				t.Errorf("%d warnings, want %d: %s", got, tc.want, &log)
			}
		})
	}
}
