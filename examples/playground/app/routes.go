package app

// route is one line of the playground's table: what is registered with the
// frameworks, and what the page shows a form for.
type route struct {
	Method, Path string
	Group        string // of the page; "" keeps it off
	Does         string // one line for the page
	Fields       []field
	changes      bool // the session, so other sites must not send it
	run          func(*request) error
}

// field is a parameter, as the page asks for it.
type field struct {
	Name, Value, Hint string
	Choices           []string
}

// The groups of the page, in its order.
const (
	groupValues   = "Values"
	groupLife     = "Life"
	groupRaces    = "Slow requests and races"
	groupFailures = "Failures"
	groupAnswers  = "Ways to answer"
	groupSessions = "Sessions of the user"
	groupDebug    = "Debugging"
)

// get is a route that changes nothing, post one that does. Some GET routes
// change the session so that they are easy to try, which is no example to
// follow: changing marks them.
func get(group, path, does string, run func(*request) error, fields ...field) *route {
	return &route{Method: "GET", Path: path, Group: group, Does: does, Fields: fields, run: run}
}

func post(group, path, does string, run func(*request) error, fields ...field) *route {
	return &route{Method: "POST", Path: path, Group: group, Does: does, Fields: fields, run: run, changes: true}
}

func changing(rt *route) *route {
	rt.changes = true
	return rt
}

func routes(debug bool) []*route {
	var (
		k  = field{Name: "k", Value: "color"}
		v  = field{Name: "v", Value: "blue"}
		n  = field{Name: "k", Value: "n"}
		op = field{Name: "op", Choices: []string{"put", "destroy", "login", "regenerate"}}
	)
	table := []*route{
		get("", "/", "this page", showPage),
		get(groupValues, "/touch", "never uses the session", touch),
		get(groupLife, "/me", "who is logged in", me),
		get(groupLife, "/facts", "everything that is known about the session", facts),
		post("", "/login", "logs in: a new token, the old one dead", login, field{Name: "user"}),
		post("", "/logout", "ends the session", logout),
		post(groupLife, "/regenerate", "replaces the token", regenerate),

		post(groupValues, "/put", "sets a string", put, k, v, field{Name: "size", Hint: "or N bytes"}),
		get(groupValues, "/get", "reads a string", getText, k),
		post(groupValues, "/delete", "removes a value", deleteValue, k),
		post(groupValues, "/clear", "removes all values", clearValues),
		post(groupValues, "/incr", "adds 1 to a number, atomically", incr, n),
		get(groupValues, "/count", "reads a number", count, n),
		post(groupValues, "/mutate", "changes a map in place, without Set", mutate,
			field{Name: "k", Value: "m"}, field{Name: "f", Value: "size"}, field{Name: "v", Value: "XL"}),
		get(groupValues, "/map", "reads a map", getMap, field{Name: "k", Value: "m"}),
		post(groupValues, "/flash", "sets a one-time value", setFlash, field{Name: "v", Value: "saved!"}),
		changing(get(groupValues, "/flash", "takes the one-time value", popFlash)),
		post(groupValues, "/ns", "sets a string in a namespace", putNamespaced, field{Name: "app", Value: "shop"}, k, v),
		get(groupValues, "/ns", "reads a string in a namespace", getNamespaced, field{Name: "app", Value: "shop"}, k),

		post(groupLife, "/idle", "sets this session's idle limit", setIdle, field{Name: "d", Value: "5m"}),
		post(groupLife, "/expire-at", "sets this session's absolute limit", setExpiry, field{Name: "t", Hint: "2030-01-02T15:04:05Z"}),
		post(groupLife, "/persist", "remembers the user across browser restarts", persist, field{Name: "d", Value: "720h"}),

		changing(get(groupRaces, "/slow", "uses the session, sleeps, then does op", slow,
			field{Name: "ms", Value: "2000"},
			field{Name: "op", Choices: []string{"read", "write", "incr", "pop", "destroy", "regenerate", "login"}}, k, v)),
		changing(get(groupRaces, "/race", "goroutines of one request set and read at once", race, field{Name: "n", Value: "16"})),
		changing(get(groupRaces, "/leak", "a goroutine that goes on setting k after the request", leak, k, v)),

		post(groupFailures, "/fail", "does op, then answers with a status", failAfter, field{Name: "status", Value: "500"}, op, k, v),
		post(groupFailures, "/panic", "does op, then panics", panicAfter, op, k, v),
		post(groupFailures, "/error", "does op, then reports an error to the framework", errorAfter, op, k, v),

		changing(get(groupAnswers, "/status", "puts, then a status without a body", statusOnly, field{Name: "code", Value: "204"}, k, v)),
		changing(get(groupAnswers, "/early", "103 Early Hints, then puts", early, k, v)),
		changing(get(groupAnswers, "/flush", "flushes, then puts: too late for a new cookie", flush, k, v)),
		changing(get(groupAnswers, "/stream", "server-sent events, saved one by one", stream, n, field{Name: "n", Value: "3"})),
		changing(get(groupAnswers, "/big", "puts, then copies n bytes", big, field{Name: "n", Value: "1000"}, k, v)),

		get(groupSessions, "/sessions", "lists the user's sessions", listSessions),
		post("", "/revoke", "ends one of the user's sessions", revoke, field{Name: "id"}),
		post(groupSessions, "/revoke-others", "ends all but this one", revokeOthers),
	}
	if debug {
		verbs := append([]string{"all"}, verbNames...)
		table = append(table,
			get(groupDebug, "/debug/store", "the records of the store", debugStore),
			post(groupDebug, "/debug/fault", "makes the next n calls of the store fail", debugFault,
				field{Name: "op", Choices: verbs}, field{Name: "mode", Choices: faultModes}, field{Name: "n", Value: "1"}),
			get(groupDebug, "/debug/calls", "how often the store was called", debugCalls),
		)
	}
	return table
}
