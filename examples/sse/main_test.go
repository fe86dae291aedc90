package main

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func Test(t *testing.T) {
	tickers := make(chan chan time.Time, 2)
	tick := make(chan time.Time)
	tickers <- tick
	tickers <- nil // of the second stream: it has one event
	server := httptest.NewServer(handler(func() <-chan time.Time { return <-tickers }))
	defer server.Close()
	send := func(method, path string, cookies ...*http.Cookie) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cookies {
			r.AddCookie(c)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	reads := func(lines *bufio.Reader, want ...string) {
		t.Helper()
		for _, want := range append(want, "") {
			if line, err := lines.ReadString('\n'); err != nil || line != want+"\n" {
				t.Fatalf("line %q (%v), want %q", line, err, want)
			}
		}
	}

	stream := send("GET", "/events")
	defer stream.Body.Close()
	events := bufio.NewReader(stream.Body)
	reads(events, "data: 1")
	tick <- time.Time{}
	reads(events, "data: 2")
	cookies := stream.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the stream sets %d cookies, want 1", len(cookies))
	}

	// What was streamed is stored: another tab goes on from there.
	other := send("GET", "/events", cookies...)
	reads(bufio.NewReader(other.Body), "data: 3")
	other.Body.Close()

	// The end of the session ends the stream.
	send("POST", "/reset", cookies...).Body.Close()
	tick <- time.Time{}
	reads(events, "event: end", "data: the session has ended")
}
