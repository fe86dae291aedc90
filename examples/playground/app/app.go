// Package app is the playground: one server that offers every session
// operation over HTTP, on any adapter and any store.
//
// The routes are one table (routes.go) of handlers that know no framework:
// they see a [call], and gin.go, echo.go, echo5.go, chi.go and nethttp.go make
// one of their framework's request and answer through its own methods.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Exit statuses of the program.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// shutdownTimeout is how long requests under way may take to end.
const shutdownTimeout = 10 * time.Second

// Main runs the program with the process's arguments until SIGINT or SIGTERM,
// and exits.
func Main(stores map[string]OpenStore) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := Run(ctx, os.Args[1:], os.Stdout, os.Stderr, stores)
	stop()
	os.Exit(status)
}

// Run serves until ctx ends, then shuts down gracefully, and returns the exit
// status. The first line of stdout is "listening on http://HOST:PORT"; logs
// and errors go to stderr. It is safe to run several at once.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer, stores map[string]OpenStore) int {
	return run(ctx, args, stdout, stderr, stores, nil)
}

// run is Run, with a say in how the server is put together.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, stores map[string]OpenStore, tune func(*server, *core.Config)) int {
	fail := func(status int, err error) int {
		fmt.Fprintln(stderr, "playground:", strings.ReplaceAll(err.Error(), "\n", " "))
		return status
	}
	opts, err := parseFlags(args, stores)
	if usage := (*usageRequest)(nil); errors.As(err, &usage) {
		fmt.Fprint(stdout, usage.text)
		return exitOK
	}
	if err != nil {
		return fail(exitUsage, err)
	}
	store, err := stores[opts.store](opts.storeOptions())
	if err != nil {
		return fail(exitUsage, err)
	}
	srv, err := newServer(opts, store, stderr, tune)
	if err != nil {
		return fail(exitUsage, err)
	}
	defer srv.sessions.Close()

	listener, err := net.Listen("tcp", opts.addr)
	if err != nil {
		return fail(exitFailed, err)
	}
	fmt.Fprintf(stdout, "listening on http://%s\n", listener.Addr())

	hs := &http.Server{
		Handler:           srv.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(srv.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(listener) }()
	select {
	case err := <-served:
		return fail(exitFailed, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := hs.Shutdown(grace); err != nil {
		srv.log.Warn("requests under way were cut off", "error", err)
		hs.Close()
	}
	srv.leaks.Wait()
	return exitOK
}

// server is a running playground.
type server struct {
	opts     options
	sessions *core.Manager
	store    core.Store // as it was opened
	faults   *faults    // around it; nil without -debug
	history  history
	csrf     *http.CrossOriginProtection
	page     *page
	routes   []*route
	log      *slog.Logger
	sleep    func(time.Duration)
	leakFor  time.Duration
	leaks    sync.WaitGroup // goroutines that outlive their request
}

func newServer(opts options, store core.Store, logs io.Writer, tune func(*server, *core.Config)) (*server, error) {
	level := slog.LevelInfo
	if opts.debug {
		level = slog.LevelDebug
	}
	srv := &server{
		opts:  opts,
		store: store,
		csrf:  http.NewCrossOriginProtection(),
		page:  newPage(),
		log:   slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level})),
		sleep: time.Sleep,

		leakFor: time.Second,
	}
	if opts.debug {
		store, srv.faults = injectFaults(store)
	}
	cfg := core.Config{
		Store:           store,
		Secrets:         opts.secrets,
		Cookie:          core.CookieConfig{Insecure: opts.insecure},
		IdleTimeout:     opts.idle,
		AbsoluteTimeout: opts.absolute,
		TouchInterval:   opts.touch,
		CountRequests:   opts.count,
		Exclusive:       opts.exclusive,
		OnError:         srv.onError,
		OnEvent:         srv.history.onEvent,
		Logger:          srv.log,
	}
	if tune != nil {
		tune(srv, &cfg)
	}
	var err error
	if srv.sessions, err = core.New(cfg); err != nil {
		return nil, err
	}
	srv.routes = routes(opts.debug)
	return srv, nil
}

// handler is the whole server on the adapter that was asked for.
func (srv *server) handler() http.Handler {
	return srv.history.record(adapters[srv.opts.adapter](srv))
}

// adapters maps the values of -adapter to the routers behind them.
var adapters = map[string]func(*server) http.Handler{
	"gin":     ginRouter,
	"echo":    echoRouter,
	"echo5":   echo5Router,
	"chi":     chiRouter,
	"nethttp": netHTTPRouter,
}
