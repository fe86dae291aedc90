// Package csrf is a token against cross-site request forgery, bound to the
// session: a page of another site can send the visitor's cookie, but cannot
// know the token.
//
//	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
//		token := csrf.Token(core.Get(r.Context()))
//		fmt.Fprintf(w, `<form method="post"><input type="hidden" name="csrf_token" value="%s"><button>Send</button></form>`, token)
//	})
//	mux.HandleFunc("POST /", save) // is reached with a token only
//	http.ListenAndServe("127.0.0.1:8080", sessions.Handler(csrf.Handler(mux)))
//
// Every unsafe request needs it, a login too: so a page with a form begins a
// session.
//
// # With CrossOriginProtection, or without
//
// [http.CrossOriginProtection] needs no token and no session. It judges by the
// headers Sec-Fetch-Site and Origin, which every browser of the last years
// sends, and is enough for most applications. It lets requests through that
// have neither header: those of programs, and of old browsers. Add the token
// where those matter, or where a rule asks for one (NIST SP 800-63B 5.1). Both
// together are two walls, not one:
//
//	http.NewCrossOriginProtection().Handler(sessions.Handler(csrf.Handler(mux)))
//
// # When it changes
//
// Every call of [Token] returns another text for the same thing, so that the
// length of a compressed page tells nothing of it (BREACH). All of them stay
// good until another user logs in, or the session is cleared or ends: a token
// that somebody learned before a login is worthless after it. An application
// that logs its users in by other means than [core.Session.Login] calls [Reset]
// when it does.
package csrf

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/coatcheck/sessions/core"
)

// Where a request carries its token.
const (
	HeaderName = "X-CSRF-Token"
	FieldName  = "csrf_token" // of a form in the body, never of the URL
)

// Why a request is not verified.
var (
	// ErrSafeMethod means that GET, HEAD, OPTIONS and TRACE are never
	// verified, whatever they carry: they must not change anything.
	ErrSafeMethod = errors.New("csrf: a safe method is not verified; let it pass, and change nothing in its handler")
	// ErrMissing means that the request carries no token, or that its session
	// never had one.
	ErrMissing = errors.New("csrf: no token; send csrf.Token of the same session in the field csrf_token or the header X-CSRF-Token")
	// ErrInvalid means that the token is not one of this session. A visitor
	// who logged in or out in another tab, or whose session ended, meets it.
	ErrInvalid = errors.New("csrf: the token is not of this session; load the page again and retry")
)

const (
	namespace = "csrf"
	macLen    = 18
	textLen   = 2 * macLen * 4 / 3
)

// Token returns the session's token: 48 characters of [A-Za-z0-9_-]. The first
// in a session is stored, so it has to be asked for before the response begins;
// where it could not be stored the result is "" and [core.Session.Err] says
// why. In the request of a login, ask for it after the login.
func Token(s *core.Session) string {
	kept := secrets(s)
	if len(kept) == 0 {
		// Under a key of its own: if another request does the same now, both
		// pages have a good token.
		kept = []string{rand.Text()} // 130 bits
		s.Namespace(namespace).Set(rand.Text()[:4], kept[0])
	}
	if s.Err() != nil {
		return ""
	}
	var text [2 * macLen]byte
	mask, masked := text[:macLen], text[macLen:]
	rand.Read(mask)
	subtle.XORBytes(masked, mask, mac(kept[0], s.User()))
	return base64.RawURLEncoding.EncodeToString(text[:])
}

// Verify returns nil if r has an unsafe method and carries the token of its
// session, in the header or else in a form in the body; otherwise
// [ErrSafeMethod], [ErrMissing] or [ErrInvalid], or why the session could not
// be read. It parses the body only if the header is absent: give a handler
// that reads the body by itself the header, and bound the size of uploads with
// [http.MaxBytesHandler] around it. Verify panics if r did not pass the
// sessions' own middleware.
func Verify(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return ErrSafeMethod
	}
	s := core.Get(r.Context())
	kept := secrets(s)
	if err := s.Err(); err != nil {
		return err
	}
	text := r.Header.Get(HeaderName)
	if text == "" && len(kept) > 0 { // else no body can help
		text = r.PostFormValue(FieldName)
	}
	if text == "" {
		return ErrMissing
	}
	sent, ok := unmask(text)
	if !ok {
		return ErrInvalid
	}
	for _, secret := range kept {
		if hmac.Equal(sent, mac(secret, s.User())) {
			return nil
		}
	}
	return ErrInvalid
}

// Handler lets safe requests and those that [Verify] accepts pass to next, and
// answers the others with 403. It belongs inside the sessions' own middleware.
// For another answer call Verify in a middleware of your own.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := Verify(r); err != nil && !errors.Is(err, ErrSafeMethod) {
			http.Error(w, "This form is out of date: load the page again and retry.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Reset makes all tokens of the session worthless. The next Token is another.
func Reset(s *core.Session) { s.Namespace(namespace).Clear() }

// secrets returns what the session's tokens are made from: one text, or a few
// if requests that ran at the same time each made one.
func secrets(s *core.Session) (out []string) {
	for _, v := range s.Namespace(namespace).All() {
		if secret, ok := v.(string); ok {
			out = append(out, secret)
		}
	}
	return out
}

// mac is the token before it is masked. The user is in it, so that a login
// changes it.
func mac(secret, user string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(user))
	return h.Sum(nil)[:macLen]
}

// unmask reads what Token wrote. It accepts no other form.
func unmask(text string) (mac []byte, ok bool) {
	if len(text) != textLen {
		return nil, false
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) != 2*macLen {
		return nil, false
	}
	subtle.XORBytes(data[macLen:], data[macLen:], data[:macLen])
	return data[macLen:], true
}
