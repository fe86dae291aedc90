package peers

import "strings"

// Column is a library on a framework, with a store and settings.
type Column struct {
	Framework string
	Library   string // with store and settings
	Keeps     Place
	// Renews says that the library can replace a session's token and keep its
	// content.
	Renews bool
	// Ours says that it is this library.
	Ours bool
	Open func(Setup) Site
}

// Place is where a library keeps sessions.
type Place int

const (
	Bare     Place = iota // no sessions: the framework alone
	OnServer              // in the memory of the server
	InCookie              // with the client
)

// Setup is what a scenario asks of the application that it visits.
type Setup struct {
	Content Content // what the handler of pathFill puts in
	Touch   bool    // see Scenario
	Clock   *Clock  // of libraries that can be given one; nil for the machine's
}

// Site is a running application.
type Site interface {
	// Client returns a client of one path. A client is for one goroutine.
	Client(path string) Client
	// Close ends what the site started.
	Close()
}

// Client makes the same request again and again.
type Client interface {
	// Present gives the cookies of the requests to come, in the form of a
	// Cookie header; "" for none.
	Present(cookie string)
	// Serve makes a request and returns the status of the answer.
	Serve() int
	// Cookie returns the cookie that the last answer set, ready to be
	// presented, or "".
	Cookie() string
	// Body returns the body of the last answer.
	Body() string
}

// Name is the column's part of the name of a benchmark.
func (c Column) Name() string { return c.Framework + "/" + c.Library }

// Columns are all of them, in order.
var Columns = concat(
	[]Column{bareNetHTTP}, oursOn("nethttp", oursNetHTTP),
	[]Column{bareChi}, scsColumns, gorillaColumns, memstoreColumns, oursOn("chi", oursChi),
	[]Column{bareGin}, ginContribColumns, oursOn("gin", oursGin),
	[]Column{bareEcho4}, echoContribColumns, oursOn("echo4", oursEcho4),
	[]Column{bareEcho5}, oursOn("echo5", oursEcho5),
	[]Column{bareFiber}, fiberColumns,
)

func concat(parts ...[]Column) (all []Column) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// FindColumn returns the column of a name; it panics if there is none.
func FindColumn(name string) Column {
	for _, c := range Columns {
		if c.Name() == name {
			return c
		}
	}
	panic("peers: no column " + name)
}

// handlers are the answers of an application, in the form that its framework
// wants.
type handlers[H any] struct{ nothing, read, count, login, fill, show H }

// routes calls add with each handler.
func (h handlers[H]) routes(add func(path string, handler H)) {
	add(pathNothing, h.nothing)
	add(pathRead, h.read)
	add(pathCount, h.count)
	add(pathLogin, h.login)
	add(pathFill, h.fill)
	add(pathShow, h.show)
}

// same returns handlers that all do the same.
func same[H any](h H) handlers[H] { return handlers[H]{h, h, h, h, h, h} }

// pair returns the name and value of a Set-Cookie line.
func pair(line string) string {
	p, _, _ := strings.Cut(line, ";")
	return p
}
