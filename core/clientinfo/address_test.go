package clientinfo_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core/clientinfo"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func request(remote string, header http.Header) *http.Request {
	if header == nil {
		header = http.Header{}
	}
	return &http.Request{RemoteAddr: remote, Header: header}
}

func TestAddress(t *testing.T) {
	for _, test := range []struct {
		name, remote string
		lines        []string // of X-Forwarded-For
		want         string
	}{
		{"direct", "192.0.2.1:1234", nil, "192.0.2.1"},
		{"direct IPv6", "[2001:db8::1]:1234", nil, "2001:db8::1"},
		{"direct with a zone", "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:1234", nil, "192.0.2.1"},
		{"no port", "192.0.2.1", nil, "192.0.2.1"},
		{"Unix socket", "@", []string{"192.0.2.7"}, ""},
		{"forged, without a proxy", "192.0.2.1:1", []string{"192.0.2.7"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{"192.0.2.7"}, "192.0.2.7"},
		{"one proxy, IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"192.0.2.7"}, "192.0.2.7"},
		{"one proxy, forged start", "10.0.0.1:1", []string{"10.9.9.9, 198.51.100.1, 192.0.2.7"}, "192.0.2.7"},
		{"two proxies", "[fd00::1]:1", []string{"192.0.2.7, 10.0.0.2"}, "192.0.2.7"},
		{"two lines", "10.0.0.1:1", []string{"198.51.100.1", "192.0.2.7,10.0.0.2"}, "192.0.2.7"},
		{"the last line is ours", "10.0.0.1:1", []string{"192.0.2.7", "10.0.0.2"}, "192.0.2.7"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"junk at the end", "10.0.0.1:1", []string{"192.0.2.7, junk"}, "10.0.0.1"},
		{"junk behind a proxy", "10.0.0.1:1", []string{"192.0.2.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty element", "10.0.0.1:1", []string{"192.0.2.7,"}, "10.0.0.1"},
		{"with ports", "10.0.0.1:1", []string{"192.0.2.7:4711, [fd00::2]:80"}, "192.0.2.7"},
		{"IPv6", "10.0.0.1:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv4 in brackets", "10.0.0.1:1", []string{"[192.0.2.7]"}, "10.0.0.1"},
		{"open bracket", "10.0.0.1:1", []string{"[2001:db8::1"}, "10.0.0.1"},
		{"junk after the bracket", "10.0.0.1:1", []string{"[2001:db8::1]x"}, "10.0.0.1"},
		{"too long", "10.0.0.1:1", []string{"2001:db8::1%" + strings.Repeat("x", 60)}, "10.0.0.1"},
		{"an open quote", "10.0.0.1:1", []string{`", 192.0.2.7`}, "192.0.2.7"},
		{"32 proxies", "10.0.0.1:1", []string{"192.0.2.7" + strings.Repeat(", 10.0.0.2", 31)}, "192.0.2.7"},
		{"too many", "10.0.0.1:1", []string{"192.0.2.7" + strings.Repeat(", 10.0.0.2", 32)}, "10.0.0.2"},
	} {
		r := request(test.remote, http.Header{"X-Forwarded-For": test.lines, "Forwarded": {"for=203.0.113.66"}})
		want, _ := netip.ParseAddr(test.want)
		if got := clientinfo.Address(r, proxies, false); got != want {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

func TestAddressOfForwarded(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`for=192.0.2.7`, "192.0.2.7"},
		{`For=192.0.2.7;proto=https;by=10.0.0.1`, "192.0.2.7"},
		{`proto=https; for="192.0.2.7:4711"`, "192.0.2.7"},
		{`for="[2001:db8::1]:4711"`, "2001:db8::1"},
		{`for="[2001:db8::1]:_port"`, "2001:db8::1"},
		{`for=198.51.100.1, for=192.0.2.7;by="a,b", for=10.0.0.2`, "192.0.2.7"},
		{`for="198.51.100.1, for=192.0.2.7`, "192.0.2.7"}, // a quote that a client left open
		{`for=unknown`, "10.0.0.1"},
		{`for=_hidden`, "10.0.0.1"},
		{`for=192.0.2.7;for=192.0.2.8`, "10.0.0.1"},
		{`for=junk;for=192.0.2.8`, "10.0.0.1"},
		{`proto=https`, "10.0.0.1"},
		{`for`, "10.0.0.1"},
		{`for=`, "10.0.0.1"},
		{`for="`, "10.0.0.1"},
		{``, "10.0.0.1"},
	} {
		r := request("10.0.0.1:1", http.Header{"Forwarded": {test.line}, "X-Forwarded-For": {"203.0.113.66"}})
		if got := clientinfo.Address(r, proxies, true); got.String() != test.want {
			t.Errorf("%s: %v, want %s", test.line, got, test.want)
		}
	}
}

// FuzzAddress: whatever the header holds, the address is that of the peer, or
// one that is written in the header, and a client behind one honest proxy
// cannot be taken for another.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"", "192.0.2.1", "[2001:db8::1]:80", `for="[2001:db8::1]:80"`, `for="`, `for=1.2.3.4;for=5.6.7.8`, ",", `,",`, "10.0.0.1, 10.0.0.2", "::1%zone", strings.Repeat("10.0.0.1,", 40)} {
		f.Add("10.0.0.1:80", text)
		f.Add(text, "192.0.2.1")
	}
	f.Fuzz(func(t *testing.T, remote, text string) {
		for _, forwarded := range []bool{false, true} {
			header := http.Header{"X-Forwarded-For": {text}, "Forwarded": {text}}
			addr := clientinfo.Address(request(remote, header), proxies, forwarded)
			if addr.IsValid() && (addr.Zone() != "" || addr.Is4In6()) {
				t.Errorf("%q, %q: %v", remote, text, addr)
			}
			honest := http.Header{"X-Forwarded-For": {text + ", 203.0.113.9"}, "Forwarded": {text + `, for="203.0.113.9"`}}
			if addr := clientinfo.Address(request("10.0.0.1:80", honest), proxies, forwarded); addr.String() != "203.0.113.9" {
				t.Errorf("%q: a proxy says 203.0.113.9, and it is %v", text, addr)
			}
		}
	})
}
