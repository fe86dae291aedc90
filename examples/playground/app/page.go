package app

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// page is the parsed page and the policy that allows its style and script and
// no others.
type page struct {
	template *template.Template
	policy   string
}

func newPage() *page {
	return &page{
		template: template.Must(template.New("page").Parse(pageHTML)),
		policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			sourceHash(pageCSS), sourceHash(pageJS)),
	}
}

// sourceHash is how a Content-Security-Policy names an inline source.
func sourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// view is what the page shows.
type view struct {
	CSS    template.CSS
	Script template.JS

	Adapter, Store string
	Debug          bool

	User       string
	ID         core.ID
	Rejected   core.Reason
	Keys       []string
	Namespaces []string
	Life       *life
	CanList    bool
	Devices    []device
	History    []entry
	Groups     []group
}

// group is a heading of the page and the routes under it.
type group struct {
	Name   string
	Routes []*route
}

func showPage(q *request) error {
	s, srv := q.Session(), q.srv
	v := view{
		CSS:        template.CSS(pageCSS),
		Script:     template.JS(pageJS),
		Adapter:    srv.opts.adapter,
		Store:      srv.opts.store,
		Debug:      srv.opts.debug,
		User:       s.User(),
		ID:         s.ID(),
		Rejected:   s.Rejected(),
		Keys:       s.Keys(),
		Namespaces: s.Namespaces(),
		Life:       lifeOf(s, time.Now()),
		History:    srv.history.of(s.ID()),
	}
	if v.User != "" {
		list, err := q.devices()
		v.CanList, v.Devices = err == nil, list
	}
	for _, rt := range srv.routes {
		if rt.Group == "" {
			continue
		}
		i := 0
		for i < len(v.Groups) && v.Groups[i].Name != rt.Group {
			i++
		}
		if i == len(v.Groups) {
			v.Groups = append(v.Groups, group{Name: rt.Group})
		}
		v.Groups[i].Routes = append(v.Groups[i].Routes, rt)
	}
	var b bytes.Buffer
	if err := srv.page.template.Execute(&b, v); err != nil {
		return err
	}
	h := q.Writer().Header()
	h.Set("Content-Security-Policy", srv.page.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	return q.HTML(http.StatusOK, b.Bytes())
}

// lineLength is how long the time line is drawn.
const lineLength = 300

// life is a session's facts and limits as a time line from its creation to its
// end.
type life struct {
	Created, LastAccess, Now, End time.Time
	Idle                          time.Duration
	ByIdle                        bool // the idle limit comes first
	IsNew                         bool
	Requests                      uint64
}

// lifeOf returns nil for a session that is not stored.
func lifeOf(s *core.Session, now time.Time) *life {
	if s.ID().IsZero() {
		return nil
	}
	l := &life{
		Created:    s.CreatedAt(),
		LastAccess: s.LastAccess(),
		Now:        now,
		End:        s.ExpiresAt(),
		Idle:       s.IdleTimeout(),
		IsNew:      s.IsNew(),
		Requests:   s.Requests(),
	}
	// What ends sooner than the idle limit alone would is at its absolute one.
	const margin = time.Second
	l.ByIdle = l.End.Add(margin).After(now.Add(l.Idle))
	return l
}

// at places a time on the line.
func (l *life) at(t time.Time) int {
	whole := l.End.Sub(l.Created)
	if whole <= 0 {
		return lineLength
	}
	return int(min(max(lineLength*t.Sub(l.Created)/whole, 0), lineLength))
}

func (l *life) AtLastAccess() int { return l.at(l.LastAccess) }
func (l *life) AtNow() int        { return l.at(l.Now) }

// Age, Unused and Left are the stretches between the marks.
func (l *life) Age() string    { return stretch(l.Now.Sub(l.Created)) }
func (l *life) Unused() string { return stretch(l.Now.Sub(l.LastAccess)) }
func (l *life) Left() string   { return stretch(l.End.Sub(l.Now)) }

// IdleLimit is the idle limit in words.
func (l *life) IdleLimit() string { return stretch(l.Idle) }

// stretch is a duration in its two largest units.
func stretch(d time.Duration) string {
	d = max(d.Round(time.Second), 0)
	var parts []string
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if n := d / unit.size; n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
			d %= unit.size
		}
	}
	if parts == nil {
		return "0 s"
	}
	return strings.Join(parts, " ")
}
