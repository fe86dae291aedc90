package app

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Bounds of the history: sessions, and requests of each.
const (
	maxHistories = 1000
	maxEntries   = 30
)

// history is what the latest requests of each session did to it, for the page.
// It learns that from the events of the manager.
type history struct {
	mu    sync.Mutex
	byID  map[core.ID][]entry // newest first
	order []core.ID           // oldest first
}

// entry is one request.
type entry struct {
	At     time.Time
	Method string
	Path   string
	Status int // 0 if unknown
	Did    string
	Events []core.EventKind
	id     core.ID
}

// What a request did, as the page says it.
const (
	didNothing = "nothing"
	didStore   = "stored"
	didMerge   = "merged"
	didRefuse  = "refused"
	didFail    = "failed"
	didEnd     = "ended"
)

// pending is the entry of a request under way. Its goroutines may share it.
type pending struct {
	mu sync.Mutex
	e  entry
}

type pendingKey struct{}

// record is the outermost middleware: it remembers what the request did.
func (h *history) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &pending{e: entry{At: time.Now(), Method: r.Method, Path: r.URL.Path, Did: didNothing}}
		defer h.add(p)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), pendingKey{}, p)))
	})
}

// add keeps a finished request, unless it had no session or was for the page
// itself.
func (h *history) add(p *pending) {
	p.mu.Lock()
	e := p.e
	e.Events = slices.Clone(e.Events)
	p.mu.Unlock()
	if e.id.IsZero() || e.Path == "/" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID == nil {
		h.byID = map[core.ID][]entry{}
	}
	if _, known := h.byID[e.id]; !known {
		if len(h.order) >= maxHistories {
			delete(h.byID, h.order[0])
			h.order = h.order[1:]
		}
		h.order = append(h.order, e.id)
	}
	entries := append([]entry{e}, h.byID[e.id]...)
	h.byID[e.id] = entries[:min(len(entries), maxEntries)]
}

// of returns the latest requests of a session, newest first.
func (h *history) of(id core.ID) []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.byID[id])
}

// onEvent is [core.Config].OnEvent.
func (h *history) onEvent(ctx context.Context, ev core.Event) {
	p, ok := ctx.Value(pendingKey{}).(*pending)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.e.Events = append(p.e.Events, ev.Kind)
	switch ev.Kind {
	case core.EventRejected, core.EventExpired:
		return // another session than the request's
	case core.EventCreated, core.EventSaved:
		p.e.Did = didStore
	case core.EventMerged:
		p.e.Did = didMerge
	case core.EventGone, core.EventLateChange:
		p.e.Did = didRefuse
	case core.EventCommitFailed, core.EventLoadFailed:
		p.e.Did = didFail
	case core.EventDestroyed:
		p.e.Did = didEnd
	}
	if !ev.ID.IsZero() {
		p.e.id = ev.ID
	}
}

// recordStatus notes the status of a request's answer.
func recordStatus(ctx context.Context, status int) {
	if p, ok := ctx.Value(pendingKey{}).(*pending); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.e.Status = status
		if status == http.StatusConflict {
			p.e.Did = didRefuse
		}
	}
}

// Story is the events in order, as the page shows them.
func (e entry) Story() string {
	words := make([]string, len(e.Events))
	for i, kind := range e.Events {
		words[i] = string(kind)
	}
	return strings.Join(words, ", ")
}
