package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// transcript writes down what is said, with a number in place of each token.
type transcript struct {
	*fixture
	out    strings.Builder
	sealer core.Sealer
	tokens []string
}

// hide puts numbers for the tokens in a line. It looks below the seal, which
// differs from second to second: one token has one number, however often it is
// sealed.
func (tr *transcript) hide(line string, tokens ...string) string {
	for _, token := range tokens {
		if token == "" {
			continue
		}
		plain := token
		if below, _, err := tr.sealer.Open(nil, token); err == nil {
			plain = string(below)
		}
		i := slices.Index(tr.tokens, plain)
		if i < 0 {
			i = len(tr.tokens)
			tr.tokens = append(tr.tokens, plain)
		}
		line = strings.ReplaceAll(line, token, fmt.Sprintf("<token %d>", i+1))
	}
	return line
}

// say sends a request and writes it down with its answer. The body of the
// framework's own error page is left out.
func (tr *transcript) say(b *browser, verb, path string) {
	sent := b.value()
	tr.write(verb, path, sent, b.get(path, method(verb)))
}

func (tr *transcript) write(verb, path, sent string, a *answer) {
	fmt.Fprintf(&tr.out, "> %s %s\n", verb, path)
	if sent != "" {
		name, lines := tr.on.carriage.header(sent)
		fmt.Fprintf(&tr.out, "> %s: %s\n", name, tr.hide(lines[0], sent))
	}
	fmt.Fprintf(&tr.out, "< %d\n", a.status)
	var given []string
	for _, c := range a.cookies {
		given = append(given, c.Value)
	}
	for _, name := range []string{"Cache-Control", "Location", "Set-Cookie", "Vary", headerName} {
		for _, line := range a.header[name] {
			fmt.Fprintf(&tr.out, "< %s\n", strings.TrimSpace(name+": "+tr.hide(line, given...)))
		}
	}
	if body := strings.TrimSuffix(a.body, "\n"); body != "" && !strings.HasPrefix(path, "/framework") {
		fmt.Fprintf(&tr.out, "< %s\n", body)
	}
	tr.out.WriteString("\n")
}

func (tr *transcript) note(text string) { fmt.Fprintf(&tr.out, "# %s\n\n", text) }

// play goes through the script.
func play(t *testing.T, a adapter, on setting) string {
	t.Helper()
	f := newFixture(t, a, on, nil)
	cfg := core.Config{Sealer: core.SecureCookie}
	on.configure(&cfg)
	sealer, err := cfg.Sealer(core.SealConfig{
		Secrets: []core.Secret{testSecret},
		Name:    cookieName,
		Encrypt: !f.can(Listing),
		MaxLen:  4096,
		MaxAge:  core.MaxLifetime,
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := &transcript{fixture: f, sealer: sealer}
	var g *gate
	s := f.serve(map[string]handler{
		"/visit": func(x *call) {
			x.text(200, fmt.Sprintf("visit %d", visits.Update(x, func(n int) int { return n + 1 })))
		},
		"/remember":                     func(x *call) { x.Persist(30 * 24 * time.Hour); x.text(200, "remembered") },
		"/go":                           func(x *call) { x.Set("from", "go"); x.redirect("/read") },
		"/nothing":                      func(x *call) { x.Set("n", "1"); x.status(204) },
		"/missing":                      func(x *call) { x.Set("seen", "404"); x.text(404, "no such page") },
		"/broken":                       func(x *call) { x.Set("a", "lost"); x.Login("mallory"); x.text(502, "broken") },
		"/framework-404":                func(x *call) { x.Set("seen", "error"); x.fail(404, "not here") },
		"/framework-500":                func(x *call) { x.Set("a", "lost"); x.fail(500, "broken") },
		"/framework-panic":              func(x *call) { x.Set("a", "lost"); panic("on purpose") },
		"/framework-panic-after-logout": func(x *call) { x.Destroy(); panic("on purpose") },
		"/destroy-set":                  func(x *call) { x.Destroy(); x.Set("message", "bye"); x.text(200, "ended") },
		"/expire":                       func(x *call) { x.SetExpiry(time.Time{}); x.text(200, contents(x.Session)) },
		"/shop":                         func(x *call) { x.Namespace("shop").Set("cart", "1"); x.text(200, fmt.Sprint(x.Namespaces())) },
		"/late":                         func(x *call) { x.text(200, "begun"); x.Set("late", "1") },
		"/slow":                         func(x *call) { x.Set("slow", "1"); g.pass(); x.text(200, "saved") },
		"/rejected":                     func(x *call) { x.text(200, string(x.Rejected())) },
		"/twice":                        func(x *call) { x.Regenerate(); x.Login("bob"); x.Regenerate(); x.text(200, "twice") },
	}, func(a *app) { a.recovery = outside })

	b := s.browser()
	tr.note("A visitor who only looks")
	tr.say(b, "GET", "/static")
	tr.say(b, "GET", "/read")
	tr.say(b, "GET", "/logout")
	tr.note("The first value, and more")
	tr.say(b, "GET", "/visit")
	tr.say(b, "GET", "/visit")
	tr.say(b, "GET", "/read")
	tr.say(b, "HEAD", "/read")
	tr.say(b, "GET", "/static")
	tr.say(b, "POST", "/go")
	tr.say(b, "POST", "/nothing")
	tr.say(b, "GET", "/missing")
	tr.say(b, "GET", "/shop")
	tr.say(b, "GET", "/late")
	tr.note("Login, and what was planted before it")
	planted := b.thief()
	tr.say(b, "POST", "/login?user=alice")
	tr.say(b, "GET", "/read")
	tr.say(planted, "GET", "/rejected")
	tr.note("What fails changes nothing")
	tr.say(b, "POST", "/broken")
	tr.say(b, "POST", "/framework-500")
	tr.say(b, "POST", "/framework-panic")
	tr.say(b, "POST", "/framework-404")
	tr.say(b, "GET", "/read")
	tr.note("The store is down")
	f.probe.fail(update, errorBefore)
	tr.say(b, "POST", "/set?a=1")
	f.probe.fail(load, errorBefore)
	tr.say(b, "GET", "/read")
	tr.say(b, "POST", "/logout")
	tr.say(b, "GET", "/static")
	f.probe.repair()
	tr.say(b, "GET", "/read")
	tr.note("Time passes")
	f.clock.Advance(10 * time.Minute)
	tr.say(b, "GET", "/read")
	tr.say(b, "POST", "/remember")
	tr.say(b, "POST", "/twice")
	tr.say(b, "POST", "/expire")
	tr.say(b, "GET", "/rejected")
	tr.note("Logout, whatever comes after")
	b = s.browser()
	tr.say(b, "POST", "/login?user=carol")
	copied := b.thief()
	tr.say(b, "POST", "/framework-panic-after-logout")
	tr.say(b, "GET", "/read")
	tr.say(copied, "GET", "/read")
	tr.say(b, "POST", "/set?a=1")
	tr.say(b, "POST", "/destroy-set")
	tr.say(b, "POST", "/delete?key=message")
	tr.say(b, "GET", "/read")
	tr.note("Cookies that no server set")
	b.keepRaw("junk")
	tr.say(b, "GET", "/rejected")
	tr.say(b, "POST", "/set?a=1")
	if f.can(Revoking) {
		tr.note("A slow request whose session ends meanwhile")
		g = newGate()
		slow := b.begin("/slow")
		g.reached(t)
		id := f.happened(core.EventCreated)
		if _, err := f.manager.Revoke(context.Background(), id[len(id)-1].ID); err != nil {
			t.Error(err)
		}
		close(g.open)
		tr.write("GET", "/slow", b.value(), slow())
	}
	return strings.TrimSuffix(tr.out.String(), "\n")
}
