package clientinfo

import (
	"net/http"
	"net/netip"
)

// Address is address, for its tests.
func Address(r *http.Request, proxies []netip.Prefix, forwarded bool) netip.Addr {
	return address(r, proxies, forwarded)
}
