package peers

import (
	"fmt"
	"net/http"
)

// Check drives a column through every operation as a browser would, and
// reports the first thing that is not as it must be. A figure of a library
// that does something else would mean nothing.
func Check(c Column, setup Setup) error {
	s := c.Open(setup)
	defer s.Close()
	return check(c, s)
}

func check(c Column, s Site) error {
	b := browser{site: s}
	if err := b.visit(pathNothing, "", http.StatusOK, string(okay)); err != nil || c.Keeps == Bare {
		return err
	}
	const none = http.StatusInternalServerError
	steps := []struct {
		path   string
		status int
		body   string
	}{
		{pathRead, none, ""}, // there is nothing yet: a check that cannot fail checks nothing
		{pathFill, http.StatusOK, "ok"},
		{pathRead, http.StatusOK, "ok"},
		{pathShow, http.StatusOK, nameText + "|0|"},
		{pathCount, http.StatusOK, "ok"},
		{pathCount, http.StatusOK, "ok"},
		{pathNothing, http.StatusOK, "ok"},
		{pathCount, http.StatusOK, "ok"},
		{pathShow, http.StatusOK, nameText + "|3|"},
		{pathLogin, http.StatusOK, "ok"},
		{pathShow, http.StatusOK, nameText + "|3|" + userName},
	}
	var before string // the login
	for i, step := range steps {
		if step.path == pathLogin {
			before = b.cookie
		}
		if err := b.visit(step.path, b.cookie, step.status, step.body); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if c.Renews && b.cookie == before {
		return fmt.Errorf("the login left the cookie as it was")
	}
	if c.Renews && c.Keeps == OnServer {
		old := browser{site: s}
		if err := old.visit(pathShow, before, http.StatusOK, "|0|"); err != nil {
			return fmt.Errorf("with the token of before the login: %w", err)
		}
	}
	fresh := browser{site: s}
	if err := fresh.visit(pathLogin, "", http.StatusOK, "ok"); err != nil {
		return err
	}
	return fresh.visit(pathShow, fresh.cookie, http.StatusOK, "|0|"+userName)
}

// browser keeps the cookie that it is given.
type browser struct {
	site   Site
	cookie string
}

func (b *browser) visit(path, cookie string, status int, body string) error {
	c := b.site.Client(path)
	c.Present(cookie)
	got := c.Serve()
	switch {
	case got != status:
		return fmt.Errorf("%s: status %d, want %d", path, got, status)
	case status == http.StatusOK && c.Body() != body:
		return fmt.Errorf("%s: %q, want %q", path, c.Body(), body)
	}
	if set := c.Cookie(); set != "" {
		b.cookie = set
	}
	return nil
}

// Filled makes a session that holds the content and returns its cookie.
func Filled(s Site) string {
	b := browser{site: s}
	if err := b.visit(pathFill, "", http.StatusOK, string(okay)); err != nil || b.cookie == "" {
		panic(fmt.Sprintf("peers: cannot make a session: %v", err))
	}
	return b.cookie
}
