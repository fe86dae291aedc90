package engines

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
)

// What one process wrote another reads, merges, lists and logs out at once.
// Fails if a store keeps anything of a record, or of a user's list, to itself.
func TestOtherProcess(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			if e.faults != nil {
				servers.RedisCluster(t).Settle(t)
			}
			spec := e.spec(t)
			one, two := ownProcess(t, spec), ownProcess(t, spec)
			does := func(a *app, op, arg, cookie string) answer {
				t.Helper()
				got := a.call(op, url.QueryEscape(arg), cookie)
				if got.status != http.StatusOK {
					t.Fatalf("%s: %+v", op, got)
				}
				return got
			}
			lists := func(a *app, cookie string, want ...answer) {
				t.Helper()
				got := does(a, "list", "", cookie).value
				for _, begun := range want {
					if !strings.Contains(got, begun.id+",") {
						t.Errorf("the list %q lacks %s", got, begun.id)
					}
				}
				if n := strings.Count(got, ","); n != len(want) {
					t.Errorf("%d sessions in the list %q, want %d", n, got, len(want))
				}
			}
			first := does(one, "begin", "", "")
			does(two, "put", "two", first.cookie)
			if got := does(one, "get", "", first.cookie); got.id != first.id || got.value != "0,two," {
				t.Errorf("read by the one: %+v", got)
			}

			// While a request of the one holds the session, the other counts.
			counts := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if got := two.call("incr", "", first.cookie); got.status != http.StatusOK || got.value != "1" {
					t.Errorf("incr meanwhile: %+v", got)
				}
			}))
			defer counts.Close()
			does(one, "after", counts.URL, first.cookie)
			for _, a := range []*app{one, two} {
				if got := does(a, "get", "", first.cookie); got.value != "1,after," {
					t.Errorf("merged to %+v", got)
				}
			}

			lists(two, first.cookie, first)
			second := does(two, "begin", "", "")
			lists(one, first.cookie, first, second)
			does(two, "logout", "", first.cookie)
			if got := one.call("get", "", first.cookie); got.status != http.StatusUnauthorized {
				t.Errorf("after the logout by the other: %+v", got)
			}
			lists(one, second.cookie, second)
		})
	}
}
