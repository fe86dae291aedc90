package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
)

// options are the flags.
type options struct {
	adapter, store, dsn, addr string
	secrets                   []core.Secret
	idle, absolute, touch     time.Duration
	count, insecure           bool
	maxSessions               int
	exclusive, debug          bool
}

func (o options) storeOptions() StoreOptions {
	return StoreOptions{DSN: o.dsn, MaxSessions: o.maxSessions}
}

// usageRequest is the error of parseFlags for -help.
type usageRequest struct{ text string }

func (*usageRequest) Error() string { return flag.ErrHelp.Error() }

func parseFlags(args []string, stores map[string]OpenStore) (options, error) {
	var (
		o       options
		secrets []string
	)
	adapterNames, storeNames := names(adapters), names(stores)
	fs := flag.NewFlagSet("playground", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.adapter, "adapter", "gin", "framework: "+adapterNames)
	fs.StringVar(&o.store, "store", "memory", "where sessions are kept: "+storeNames)
	fs.StringVar(&o.dsn, "dsn", "", "`directory, file, DSN or URL` of the store; for cookie: revocable adds a revocation list")
	fs.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 picks a free one")
	// The flag package would quote a refused value in its error, so secrets
	// are parsed afterwards.
	fs.Func("secret", "`base64` of 32 random bytes or more; repeat it with older ones (default random)", func(text string) error {
		secrets = append(secrets, text)
		return nil
	})
	fs.DurationVar(&o.idle, "idle", 0, "idle limit (default 30m)")
	fs.DurationVar(&o.absolute, "absolute", 0, "absolute limit (default 24h)")
	fs.DurationVar(&o.touch, "touch", 0, "resolution of access times (default a tenth of -idle)")
	fs.BoolVar(&o.count, "count", false, "count requests, which writes on reads")
	fs.BoolVar(&o.insecure, "insecure", false, "a cookie named session, without Secure, for browsers that refuse Secure ones on plain HTTP")
	fs.IntVar(&o.maxSessions, "max-sessions", 0, "the memory store's cap (default the library's)")
	fs.BoolVar(&o.exclusive, "exclusive", false, "one request at a time per session")
	fs.BoolVar(&o.debug, "debug", false, "the routes under /debug/")

	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		var text strings.Builder
		text.WriteString("The playground serves every session operation over HTTP.\n\n")
		fs.SetOutput(&text)
		fs.PrintDefaults()
		return o, &usageRequest{text.String()}
	} else if err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if adapters[o.adapter] == nil {
		return o, fmt.Errorf("-adapter %q: want %s", o.adapter, adapterNames)
	}
	if stores[o.store] == nil {
		return o, fmt.Errorf("-store %q: want %s", o.store, storeNames)
	}
	if _, err := net.ResolveTCPAddr("tcp", o.addr); err != nil {
		return o, fmt.Errorf("-addr: %w", err)
	}
	for _, f := range []struct {
		name  string
		value int64
	}{{"idle", int64(o.idle)}, {"absolute", int64(o.absolute)}, {"touch", int64(o.touch)}, {"max-sessions", int64(o.maxSessions)}} {
		if f.value < 0 {
			return o, fmt.Errorf("-%s is negative: %s", f.name, fs.Lookup(f.name).Value)
		}
	}
	for i, text := range secrets {
		secret, err := core.ParseSecret(text)
		if err != nil {
			return o, fmt.Errorf("-secret, number %d: %w", i+1, err)
		}
		o.secrets = append(o.secrets, secret)
	}
	if len(o.secrets) == 0 {
		o.secrets = []core.Secret{core.GenerateSecret()}
	}
	return o, nil
}

// names lists the keys of a registry.
func names[V any](registry map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(registry)), ", ")
}
