package clientinfo

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// address returns the client's address: who connects or, if that is one of our
// proxies, whom it names. What our proxies wrote is believed; what stands to the
// left of that may be forged. So the list is read from the right, up to the
// first address that is not ours. If something that is no address comes first,
// the result is the last proxy.
func address(r *http.Request, proxies []netip.Prefix, forwarded bool) netip.Addr {
	addr, ok := node(r.RemoteAddr)
	if !ok {
		return netip.Addr{}
	}
	ours := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !ours(addr) {
		return addr
	}
	name, read := "X-Forwarded-For", node
	if forwarded {
		name, read = "Forwarded", element
	}
	hops := 0
	for _, line := range slices.Backward(r.Header[name]) {
		for more := true; more; hops++ {
			var text string
			line, text, more = cutLast(line)
			next, ok := read(text)
			if !ok || hops == maxHops {
				return addr
			}
			if addr = next; !ours(addr) {
				return addr
			}
		}
	}
	return addr
}

// cutLast takes the last element off a list. A comma within quotes does not
// divide. Quotes are matched from the right, where the proxies write, so that a
// quote that the client left open hides nothing of theirs.
func cutLast(list string) (rest, last string, more bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				return list[:i], list[i+1:], true
			}
		}
	}
	return "", list, false
}

// element reads the address of the client in an element of Forwarded.
func element(text string) (addr netip.Addr, ok bool) {
	for pair := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "for") {
			continue
		}
		if ok {
			return netip.Addr{}, false // two are none
		}
		value = strings.Trim(value, " \t")
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if addr, ok = node(value); !ok {
			return netip.Addr{}, false
		}
	}
	return addr, ok
}

// node reads an address with or without a port: "192.0.2.1", "192.0.2.1:80",
// "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
func node(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if len(text) > maxHop {
		return netip.Addr{}, false
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, port, ok := strings.Cut(inner, "]")
		if !ok || port != "" && port[0] != ':' || !strings.Contains(host, ":") {
			return netip.Addr{}, false
		}
		text = host
	} else if host, _, ok := strings.Cut(text, ":"); ok && strings.Count(text, ":") == 1 {
		text = host
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}
