package suite

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// operation is something that a browser asks of a session: a cell's row in the
// matrix of faults.
type operation struct {
	name    string
	prepare []string // requests that make the session as it is before
	before  string   // and what it then holds
	path    string
	body    string   // of the answer, if it succeeds
	after   string   // what the session holds then
	needs   []string // the verbs without which it fails
	// half is what the session may hold when the store did its part and the
	// answer was lost, besides what it held before.
	half string
}

var operations = []operation{
	{name: "read", prepare: []string{"/set?a=1"}, before: "nobody a=1",
		path: "/read", body: "nobody a=1", after: "nobody a=1", needs: []string{load}},
	{name: "set new", before: "nobody",
		path: "/set?a=1", body: "set", after: "nobody a=1", needs: []string{create}, half: "nobody"},
	{name: "set existing", prepare: []string{"/set?a=1"}, before: "nobody a=1",
		path: "/set?a=2", body: "set", after: "nobody a=2", needs: []string{load, update}, half: "nobody a=2"},
	{name: "empty", prepare: []string{"/set?a=1"}, before: "nobody a=1",
		path: "/delete?key=a", body: "deleted", after: "nobody", needs: []string{load, remove}, half: "nobody"},
	// The token that the answer should have brought never arrived: who holds
	// the old one is logged out, not in.
	{name: "login", prepare: []string{"/set?a=1"}, before: "nobody a=1",
		path: "/login?user=alice", body: "hello", after: "alice a=1", needs: []string{load, update}, half: "nobody"},
	{name: "logout", prepare: []string{"/login?user=alice"}, before: "alice",
		path: "/logout", body: "bye", after: "nobody", needs: []string{load, remove}, half: "nobody"},
	{name: "regenerate", prepare: []string{"/set?a=1"}, before: "nobody a=1",
		path: "/regenerate", body: "regenerated", after: "nobody a=1", needs: []string{load, update}, half: "nobody"},
}

// faults makes every call of the store fail in every way under every operation.
// An operation that needs the call is answered with the error page alone and no
// token, one that does not as if nothing were; nothing is half done that the
// client could tell, nobody is logged in or out by accident, and the failure is
// reported. Without the fail-closed commit of core (exchange.fail, Session.fail)
// most cells fail.
func faults(t *testing.T, a adapter, on setting) {
	for _, verb := range []string{load, create, update, touch, remove} {
		for _, how := range []fault{errorBefore, doneThenErr, hang} {
			for _, op := range operations {
				t.Run(fmt.Sprintf("%s/%s/%s", verb, how, op.name), func(t *testing.T) {
					f := newFixture(t, a, on, func(c *core.Config) { c.StoreTimeout = 5 * time.Millisecond })
					op.under(f, verb, how)
				})
			}
		}
	}
}

func (op operation) under(f *fixture, verb string, how fault) {
	b := f.serve(nil).browser()
	for _, path := range op.prepare {
		b.get(path)
	}
	f.clock.Advance(10 * time.Minute) // a touch is due
	held := b.value()

	f.probe.fail(verb, how)
	a := b.get(op.path)
	f.probe.repair()

	if !slices.Contains(op.needs, verb) {
		a.is(200, op.body)
		b.get("/read").is(200, op.after)
		return
	}
	a.refused(http.StatusServiceUnavailable)
	if b.value() != held {
		f.Error("the browser's cookie changed")
	}
	if len(f.happened(core.EventCommitFailed))+len(f.happened(core.EventLoadFailed)) == 0 || !strings.Contains(f.log.String(), "level=ERROR") {
		f.Errorf("the failure was not reported: %+v", f.events)
	}
	now := b.get("/read")
	if now.body != op.before && (how != doneThenErr || now.body != op.half) {
		f.Errorf("the session now holds %q; it held %q", now.body, op.before)
	}
	// And it works again.
	b.get(op.path)
	if again := b.get("/read"); again.body != op.after && now.body == op.before {
		f.Errorf("tried again, it holds %q, want %q", again.body, op.after)
	}
}
