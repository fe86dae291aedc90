package peers

import (
	"net/http"
	"testing"
)

// TestOptions checks what each option reads and counts.
func TestOptions(t *testing.T) {
	for _, o := range Options {
		t.Run(o.Name, func(t *testing.T) {
			s, cookie := o.Open(t.TempDir())
			defer s.Close()
			b := browser{site: s, cookie: cookie}
			for _, step := range []struct{ path, body string }{
				{pathRead, "ok"}, {pathCount, "ok"}, {pathCount, "ok"}, {pathShow, nameText + "|2|"},
			} {
				if err := b.visit(step.path, b.cookie, http.StatusOK, step.body); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOptions has S3 and S4 with each option.
func BenchmarkOptions(b *testing.B) {
	for _, id := range []string{"S3", "S4"} {
		for _, o := range Options {
			b.Run(id+"/"+o.Name, func(b *testing.B) {
				s, cookie := o.Open(b.TempDir())
				defer s.Close()
				client := s.Client(FindScenario(id).Path)
				client.Present(cookie)
				measure(b, client, false)
				b.ReportMetric(float64(len(cookie)), "cookie-B")
			})
		}
	}
}
