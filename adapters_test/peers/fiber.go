package peers

import (
	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

var bareFiber = Column{Framework: "fiber", Library: "bare", Open: func(Setup) Site {
	return fiberSite{handler: fiberApp(same(okayFiber))}
}}

var okayFiber fiber.Handler = func(c fiber.Ctx) error { return answerFiber(c, okay) }

func answerFiber(c fiber.Ctx, body []byte) error {
	if body == nil {
		return c.SendStatus(fiber.StatusInternalServerError)
	}
	return c.Send(body)
}

func fiberApp(h handlers[fiber.Handler], use ...any) fasthttp.RequestHandler {
	app := fiber.New()
	if len(use) > 0 {
		app.Use(use...)
	}
	h.routes(func(path string, handler fiber.Handler) { app.Get(path, handler) })
	return app.Handler()
}

// fiberSite is an application of fiber, which is not made on net/http.
type fiberSite struct {
	handler fasthttp.RequestHandler
	close   func() error // or nil
}

func (s fiberSite) Close() {
	if s.close != nil {
		s.close()
	}
}

func (s fiberSite) Client(path string) Client {
	c := &fiberClient{handler: s.handler}
	c.ctx.Init(&fasthttp.Request{}, nil, nil)
	c.ctx.Request.Header.SetMethod("GET")
	c.ctx.Request.SetRequestURI(path)
	c.ctx.Request.Header.Set("Accept", "text/html,application/xhtml+xml")
	c.ctx.Request.Header.Set("Accept-Language", "en")
	c.ctx.Request.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	c.ctx.Request.Header.SetHost("example.com")
	return c
}

type fiberClient struct {
	handler fasthttp.RequestHandler
	ctx     fasthttp.RequestCtx
	cookie  string
}

func (c *fiberClient) Present(cookie string) {
	if cookie == c.cookie {
		return
	}
	c.cookie = cookie
	if cookie == "" {
		c.ctx.Request.Header.DelAllCookies()
	} else {
		c.ctx.Request.Header.Set("Cookie", cookie)
	}
}

func (c *fiberClient) Serve() int {
	c.ctx.Response.Reset()
	c.ctx.ResetUserValues()
	c.handler(&c.ctx)
	return c.ctx.Response.StatusCode()
}

func (c *fiberClient) Cookie() (cookie string) {
	for _, line := range c.ctx.Response.Header.Cookies() {
		cookie = pair(string(line))
	}
	return cookie
}

func (c *fiberClient) Body() string { return string(c.ctx.Response.Body()) }
