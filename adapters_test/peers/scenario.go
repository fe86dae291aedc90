package peers

// Scenario is a kind of request.
type Scenario struct {
	ID   string // as in BenchmarkS3
	Text string // what happens, for people
	Path string // which handler answers
	// With says that the request brings the cookie of a session that holds
	// Content.
	With    bool
	Content Content
	// Touch says that the session's idle limit has to move: each library is
	// set up, or used, such that reading a session keeps it alive.
	Touch bool
	// Follow says that each request brings the cookie that the response
	// before it set, as a browser would.
	Follow bool
	// Sessions is how many there are, of which each request uses another; 0
	// means one.
	Sessions int
	// Applies says for which columns it makes sense.
	Applies func(Column) bool
}

// The paths of the handlers.
const (
	pathNothing = "/nothing" // does not touch the session
	pathRead    = "/read"    // reads the name and the counter
	pathCount   = "/count"   // adds 1 to the counter
	pathLogin   = "/login"   // renews the token, where there is one to renew, and notes the user
	pathFill    = "/fill"    // puts the content in
	pathShow    = "/show"    // answers with name, counter and user
)

// anywhere and its like tell columns apart. The store of echo-contrib is that of
// gin-contrib, and one framework is enough for S7.
func anywhere(Column) bool       { return true }
func onTheServer(c Column) bool  { return c.Keeps == Bare || c.Keeps == OnServer }
func inCookies(c Column) bool    { return c.Keeps == Bare || c.Keeps == InCookie }
func onlySessions(c Column) bool { return c.Keeps != Bare }
func manySessions(c Column) bool {
	return c.Keeps == OnServer && (c.Framework == "chi" || !c.Ours && c.Framework != "echo4")
}

// Population is how many sessions there are in S7.
const Population = 100_000

// Scenarios are the rows, in order.
var Scenarios = []Scenario{
	{ID: "S1", Text: "no cookie, the handler does not touch the session", Path: pathNothing, Content: Small, Applies: anywhere},
	{ID: "S2", Text: "valid cookie, the handler does not touch the session", Path: pathNothing, With: true, Content: Small, Applies: anywhere},
	{ID: "S3", Text: "valid cookie, reads a string and an int64 of 5 keys, 200 bytes", Path: pathRead, With: true, Content: Small, Applies: anywhere},
	{ID: "S4", Text: "valid cookie, adds 1 to a counter, saved", Path: pathCount, With: true, Content: Small, Applies: anywhere},
	{ID: "S5", Text: "no cookie, notes the user: a new session and cookie", Path: pathLogin, Content: Small, Applies: anywhere},
	{ID: "S6", Text: "S3 on 100 keys, 8 KB, kept on the server", Path: pathRead, With: true, Content: Large, Applies: onTheServer},
	{ID: "S6w", Text: "S4 on 100 keys, 8 KB, kept on the server", Path: pathCount, With: true, Content: Large, Applies: onTheServer},
	{ID: "S6c", Text: "S3 on 12 keys, 2 KB, kept in the cookie", Path: pathRead, With: true, Content: Middle, Applies: inCookies},
	{ID: "S7r", Text: "S3 over 100,000 sessions, in parallel", Path: pathRead, With: true, Content: Small, Sessions: Population, Applies: manySessions},
	{ID: "S7w", Text: "S4 over 100,000 sessions, in parallel", Path: pathCount, With: true, Content: Small, Sessions: Population, Applies: manySessions},
	{ID: "S8", Text: "S3, and the idle limit has to move: a touch is due", Path: pathRead, With: true, Content: Small, Touch: true, Applies: onlySessions},
	{ID: "S9", Text: "valid cookie, login: the token is renewed, the content kept, the user noted", Path: pathLogin, With: true, Content: Small, Follow: true,
		Applies: func(c Column) bool { return c.Renews }},
}

// FindScenario returns the scenario of an ID; it panics if there is none.
func FindScenario(id string) Scenario {
	for _, s := range Scenarios {
		if s.ID == id {
			return s
		}
	}
	panic("peers: no scenario " + id)
}

// Setup is what the scenario asks of an application.
func (s Scenario) Setup() Setup { return Setup{Content: s.Content, Touch: s.Touch} }
