package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	_ "image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/coatcheck/sessions/examples/playground/app"
)

var keep = flag.String("screenshots", "", "directory to keep the screenshots in")

// patience bounds each script: a browser may be slow to start.
const patience = 90 * time.Second

// startPlayground serves the playground until the test ends and returns its
// address.
func startPlayground(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	var stderr bytes.Buffer
	exit := make(chan int, 1)
	go func() {
		defer stdout.Close()
		exit <- app.Run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), stdout, &stderr, app.Stores())
	}()
	t.Cleanup(func() {
		stop()
		if status := <-exit; status != 0 {
			t.Errorf("the playground ended with status %d: %s", status, &stderr)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the playground does not start: %v", err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}

// startBrowser starts a headless Chromium with a profile of its own and
// returns the context of its first tab.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no browser found: apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits for the browser to end
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v", path, err)
	}
	return ctx
}

// newTab opens another tab of the same browser.
func newTab(t *testing.T, ctx context.Context) context.Context {
	t.Helper()
	tab, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return tab
}

// do runs steps that return nothing.
func do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, steps...); err != nil {
		t.Fatal(err)
	}
}

// read runs a step that returns something.
func read[T any](t *testing.T, tab context.Context, step chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(tab, step)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// call sends a command of the browser's protocol.
func call[P, R any](t *testing.T, tab context.Context, command cdp.Command[P, R], params P) R {
	t.Helper()
	v, err := chromedp.Call(tab, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// css is a selector. A plain string would be searched for as text, too.
func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

// sessionCookie returns the session's cookie as the browser holds it, or nil.
func sessionCookie(t *testing.T, tab context.Context, url string) *network.Cookie {
	t.Helper()
	for _, c := range call(t, tab, network.GetCookies, network.GetCookiesParams{URLs: []string{url}}).Cookies {
		if c.Name == "__Host-session" {
			return c
		}
	}
	return nil
}

// getJSON asks the playground outside the browser, with a cookie replayed by
// hand.
func getJSON(t *testing.T, url string, cookie *network.Cookie) (status int, body map[string]any) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookie != nil {
		req.Header.Set("Cookie", cookie.Name+"="+cookie.Value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// fetch has a tab send a request, and returns once it has been sent.
func fetch(t *testing.T, tab context.Context, name, path string) {
	t.Helper()
	read(t, tab, chromedp.Evaluate[bool](fmt.Sprintf(`window[%q] = fetch(%q).then(async r => ({status: r.status, body: await r.json()})); true`, name, path)))
}

// fetched waits for the answer.
func fetched(t *testing.T, tab context.Context, name string) (status int, body map[string]any) {
	t.Helper()
	type answer struct {
		Status int            `json:"status"`
		Body   map[string]any `json:"body"`
	}
	a := read(t, tab, chromedp.Evaluate[answer](fmt.Sprintf(`window[%q]`, name), chromedp.EvalAwaitPromise))
	return a.Status, a.Body
}

// loads is how often the store was asked for a session.
func loads(t *testing.T, url string) int {
	t.Helper()
	_, calls := getJSON(t, url+"/debug/calls", nil)
	return int(calls["load"].(float64))
}

// awaitLoad returns when the store has been asked for another session.
func awaitLoad(t *testing.T, url string, before int) {
	t.Helper()
	for end := time.Now().Add(patience); loads(t, url) == before; {
		if time.Now().After(end) {
			t.Fatal("the request did not come to the store")
		}
	}
}

// screenshot takes a picture of the tab and checks that something is on it.
func screenshot(t *testing.T, tab context.Context, name string) {
	t.Helper()
	const width, height = 1200, 1000
	do(t, tab, chromedp.EmulateViewport(width, height))
	data := read(t, tab, chromedp.CaptureScreenshot())
	dir := t.TempDir()
	if *keep != "" {
		dir = *keep
	}
	file := filepath.Join(dir, name+".png")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	picture, format, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); format != "png" || size != image.Pt(width, height) {
		t.Errorf("screenshot %s: %s of %v, want png of %d x %d", name, format, size, width, height)
	}
	colors := map[[3]uint32]bool{}
	for y := 0; y < height; y++ {
		for x := 0; x < width; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			colors[[3]uint32{r, g, b}] = true
		}
	}
	// Text is drawn in many shades; an empty page has one, an error few.
	if len(colors) < 100 {
		t.Errorf("screenshot %s has %d colors: the page is blank", name, len(colors))
	}
}

// TestUser is one user's day in a browser. The cookie is the default one:
// __Host- and Secure, over plain HTTP to 127.0.0.1.
func TestUser(t *testing.T) {
	for _, adapter := range []string{"gin", "echo", "chi"} {
		t.Run(adapter, func(t *testing.T) {
			url := startPlayground(t, "-adapter", adapter, "-debug")
			tab := startBrowser(t)

			do(t, tab,
				chromedp.Navigate(url+"/"),
				chromedp.WaitVisible(css(`input[name=user]`)),
				chromedp.SendKeys(css(`input[name=user]`), "alice"),
				chromedp.Click(css(`form[action="/login"] button`)),
				chromedp.WaitVisible(css(`#user`)),
			)
			cookie := sessionCookie(t, tab, url)
			if cookie == nil || !cookie.Secure || !cookie.HTTPOnly || !cookie.Session || cookie.Path != "/" || cookie.SameSite != network.CookieSameSiteLax {
				t.Fatalf("the browser holds %+v, want a Secure, HttpOnly, SameSite=Lax cookie for /", cookie)
			}

			// Values, through the form of the page.
			for _, k := range []string{"color", "size"} {
				form := `#state form[action="/put"] `
				do(t, tab,
					chromedp.SendKeys(css(form+`input[name=k]`), k),
					chromedp.SendKeys(css(form+`input[name=v]`), "v-"+k),
					chromedp.Click(css(form+`button`)),
					chromedp.WaitVisible(fmt.Sprintf(`//ul[@id="keys"]/li[text()=%q]`, k)),
				)
			}

			// Two tabs change different keys at once: the first has loaded the
			// session before the second begins, and saves after it has ended.
			second := newTab(t, tab)
			do(t, second, chromedp.Navigate(url+"/"), chromedp.WaitVisible(css(`#user`)))
			before := loads(t, url)
			fetch(t, tab, "left", "/slow?ms=2000&op=write&k=left&v=1")
			awaitLoad(t, url, before)
			fetch(t, second, "right", "/slow?op=write&k=right&v=2")
			if status, body := fetched(t, second, "right"); status != 200 {
				t.Fatalf("the second tab's write: %d %v", status, body)
			}
			if status, body := fetched(t, tab, "left"); status != 200 {
				t.Fatalf("the first tab's write: %d %v", status, body)
			}
			for k, v := range map[string]string{"left": "1", "right": "2", "color": "v-color", "size": "v-size"} {
				fetch(t, tab, "get", "/get?k="+k)
				if _, body := fetched(t, tab, "get"); body["v"] != v {
					t.Errorf("%s is %v, want %q", k, body, v)
				}
			}
			do(t, tab, chromedp.Reload(), chromedp.WaitVisible(css(`#history`)))
			if history := read(t, tab, chromedp.Text(css(`#history`))); !strings.Contains(history, "merged") {
				t.Errorf("the page does not tell that the slow write was merged:\n%s", history)
			}

			if user := read(t, tab, chromedp.Text(css(`#user`))); user != "alice" {
				t.Errorf("the page shows the user %q, want alice", user)
			}
			screenshot(t, tab, adapter+"-light")
			call(t, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
			})
			screenshot(t, tab, adapter+"-dark")

			// Logout in one tab holds for the other, and for a copy of the cookie.
			cookie = sessionCookie(t, tab, url)
			if status, _ := getJSON(t, url+"/me", cookie); status != 200 {
				t.Fatalf("the cookie replayed before the logout: %d, want 200", status)
			}
			do(t, tab, chromedp.Click(css(`form[action="/logout"] button`)), chromedp.WaitVisible(css(`form[action="/login"]`)))
			if c := sessionCookie(t, tab, url); c != nil {
				t.Error("the browser still holds the cookie after the logout")
			}
			do(t, second, chromedp.Reload(), chromedp.WaitVisible(css(`form[action="/login"]`)))
			if status, body := getJSON(t, url+"/me", cookie); status != 401 {
				t.Errorf("the old cookie, replayed: %d %v, want 401", status, body)
			}
			if _, body := getJSON(t, url+"/facts", cookie); body["rejected"] != "unknown" {
				t.Errorf("the old cookie, replayed: rejected %v, want unknown", body["rejected"])
			}
		})
	}
}

// TestWithoutScript: login, put and logout are plain forms.
func TestWithoutScript(t *testing.T) {
	url := startPlayground(t)
	tab := startBrowser(t)
	call(t, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	do(t, tab,
		chromedp.Navigate(url+"/"),
		chromedp.WaitVisible(css(`input[name=user]`)),
		chromedp.SendKeys(css(`input[name=user]`), "bob"),
		chromedp.Click(css(`form[action="/login"] button`)),
		chromedp.WaitVisible(css(`#user`)),
		chromedp.SendKeys(css(`#state form[action="/put"] input[name=k]`), "plain"),
		chromedp.Click(css(`#state form[action="/put"] button`)),
		chromedp.WaitVisible(`//ul[@id="keys"]/li[text()="plain"]`),
	)
	if shown := read(t, tab, chromedp.Location()); shown != url+"/" {
		t.Errorf("after the forms the browser is at %s, want the page", shown)
	}
	do(t, tab,
		chromedp.Click(css(`form[action="/logout"] button`)),
		chromedp.WaitVisible(css(`form[action="/login"]`)),
	)
	if c := sessionCookie(t, tab, url); c != nil {
		t.Error("the browser still holds the cookie after the logout")
	}
}

// TestScriptsOfOthers: the policy of the page lets its own script run, and no
// script that got into it otherwise.
func TestScriptsOfOthers(t *testing.T) {
	url := startPlayground(t)
	tab := startBrowser(t)
	// Waiting ends because the page's own script ran: it shows the label.
	do(t, tab, chromedp.Navigate(url+"/"), chromedp.WaitVisible(css(`#twice-label`)))
	planted := `document.body.append(Object.assign(document.createElement("script"), {textContent: "window.planted = true"})); window.planted === true`
	if read(t, tab, chromedp.Evaluate[bool](planted)) {
		t.Error("a planted script ran")
	}
}
