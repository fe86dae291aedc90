// Package clientinfo records from which address, and with which browser, a
// session was begun: for a page that lists a user's devices.
//
//	sessions := core.MustNew(core.Config{
//		Store: store,
//		OnEnd: clientinfo.Record(clientinfo.Config{
//			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//		}),
//	})
//
//	mine, err := sessions.UserSessions(ctx, user)
//	for _, device := range mine {
//		s, err := sessions.Load(ctx, device.ID)
//		info, ok := clientinfo.Of(s)
//	}
//
// The record is written once, with the changes that create the session, and
// never makes a session by itself: a visitor who leaves nothing in a session
// leaves no address either, and a session that holds nothing else any more
// ends. It is personal data: say so where you must.
package clientinfo

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/coatcheck/sessions/core"
)

// MaxUserAgent is how many bytes of the user agent are kept.
const MaxUserAgent = 256

// Config says whom to believe about the client's address.
type Config struct {
	// TrustedProxies are the addresses of your own proxies. If a request
	// comes from one of them, the client is the last address in the header
	// that is not a proxy's. Default: none, the client is whoever connects.
	TrustedProxies []netip.Prefix
	// Forwarded reads the header Forwarded (RFC 7239). Set it if that is what
	// your proxies write: the header they do not write is the client's to
	// forge. Default: false, X-Forwarded-For is read.
	Forwarded bool
}

// Info is what was recorded.
type Info struct {
	// Addr is the client's address, without port and zone. It is not valid if
	// the connection had none, as over a Unix socket.
	Addr netip.Addr
	// UserAgent is what the client said it is, cut to MaxUserAgent bytes.
	// Anything may be in it.
	UserAgent string
}

const (
	namespace = "clientinfo"
	maxHops   = 32 // proxies that one request may have passed
	maxHop    = 64 // bytes in one address
)

// stored is the value in the session.
type stored struct {
	Addr  string `cbor:"a,omitempty" json:"a,omitempty"`
	Agent string `cbor:"u,omitempty" json:"u,omitempty"`
}

var key = core.NewKey[stored]("client")

// Record returns a hook for [core.Config].OnEnd. A stored session without a
// record, because it is older than the hook or was cleared, is given one by the
// next request that changes it. OnEnd comes after a [core.Session.Save] in the
// handler: to have the record saved with it, call the hook before. A
// Config.Keep of your own is asked about the key "clientinfo/client" too. The
// hook is safe for concurrent use.
//
// Record panics, at start, if a prefix is not valid.
func Record(cfg Config) func(r *http.Request, s *core.Session) error {
	proxies := slices.Clone(cfg.TrustedProxies)
	for _, p := range proxies {
		if !p.IsValid() || p.Addr().Is4In6() {
			panic(fmt.Errorf("%w: clientinfo: TrustedProxies has the prefix %v; use netip.MustParsePrefix, and the short form for IPv4", core.ErrConfig, p))
		}
	}
	return func(r *http.Request, s *core.Session) error {
		if !s.Dirty() {
			return nil
		}
		ns := s.Namespace(namespace)
		others := slices.DeleteFunc(s.Namespaces(), func(name string) bool { return name == namespace })
		switch {
		case s.User() == "" && s.Len() == 0 && len(others) == 0:
			ns.Clear() // it is no reason to keep a session
		case !key.Has(ns):
			addr, _ := address(r, proxies, cfg.Forwarded).MarshalText() // empty for none
			key.Set(ns, stored{string(addr), shorten(r.UserAgent())})
		}
		return nil
	}
}

// Of returns what was recorded of a session. ok is false if nothing was.
func Of(s *core.Session) (info Info, ok bool) {
	v, err := key.Lookup(s.Namespace(namespace))
	if err != nil {
		return Info{}, false
	}
	addr, _ := netip.ParseAddr(v.Addr)
	return Info{addr, v.Agent}, true
}

// shorten cuts a text to what is kept of it, and leaves out what is not valid
// UTF-8, half a character at the end included.
func shorten(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), MaxUserAgent)], "")
}
