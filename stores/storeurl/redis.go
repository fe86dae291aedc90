package storeurl

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/redisstore"
	"github.com/redis/rueidis"
)

const redisPort = "6379"

var redisParams = []string{"prefix", "addr", "master_set", "socket"}

// redisStore is a store that closes its client.
type redisStore struct {
	*redisstore.Store
	client rueidis.Client
}

func (s *redisStore) Close() error {
	err := s.Store.Close()
	s.client.Close()
	return err
}

func openRedis(ctx context.Context, l *location) (core.Store, error) {
	opt, err := l.redis()
	if err != nil {
		return nil, err
	}
	client, err := dial(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("storeurl: %s: %w", l.scheme, err)
	}
	store, err := redisstore.New(client, redisstore.Config{Prefix: l.text("prefix")})
	if err == nil {
		err = client.Do(ctx, client.B().Ping().Build()).Error()
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("storeurl: %s: %w", l.scheme, err)
	}
	return &redisStore{store, client}, nil
}

// redis is the location as the client has it.
func (l *location) redis() (opt rueidis.ClientOption, err error) {
	if l.text("prefix") == "" {
		return opt, refuse("parameter prefix is missing; name the application, so that others on the same server keep apart: ?prefix=shop")
	}
	if db := strings.TrimPrefix(l.path, "/"); db != "" {
		if opt.SelectDB, err = strconv.Atoi(db); err != nil || opt.SelectDB < 0 {
			return opt, refuse("the path of a Redis URL is the number of a database: /0")
		}
	}
	for _, addr := range append([]string{l.host}, l.own["addr"]...) {
		if strings.Contains(addr, "@") {
			return opt, refuse("parameter addr is a host, and perhaps a port; the user and the password of the URL are for all")
		}
		opt.InitAddress = append(opt.InitAddress, withPort(addr, redisPort))
	}
	if socket := l.text("socket"); socket != "" {
		if l.scheme == "rediss" {
			return opt, refuse("parameter socket does without TLS; write redis://")
		}
		opt.InitAddress = []string{socket}
		opt.DialCtxFn = func(ctx context.Context, file string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", file)
		}
	}
	opt.Username, opt.Password = l.user, l.password
	if opt.Sentinel.MasterSet = l.text("master_set"); opt.Sentinel.MasterSet != "" {
		opt.Sentinel.Username, opt.Sentinel.Password = l.user, l.password
	}
	if l.scheme == "rediss" {
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if len(opt.InitAddress) == 1 {
			opt.TLSConfig.ServerName, _, _ = net.SplitHostPort(opt.InitAddress[0])
		}
		opt.Sentinel.TLSConfig = opt.TLSConfig
	}
	return opt, nil
}

// withPort adds what is missing of a host and a port.
func withPort(addr, port string) string {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	if host == "" {
		host = "localhost"
	}
	if p == "" {
		p = port
	}
	return net.JoinHostPort(host, p)
}

// dial connects. The client has no context for that.
func dial(ctx context.Context, opt rueidis.ClientOption) (rueidis.Client, error) {
	type result struct {
		client rueidis.Client
		err    error
	}
	got := make(chan result, 1)
	go func() {
		client, err := rueidis.NewClient(opt)
		got <- result{client, err}
	}()
	select {
	case r := <-got:
		return r.client, r.err
	case <-ctx.Done():
		go func() {
			if r := <-got; r.err == nil {
				r.client.Close()
			}
		}()
		return nil, ctx.Err()
	}
}
