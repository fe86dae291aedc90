package peers

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/redisstore"
	ginsessions "github.com/gin-contrib/sessions"
	ginredis "github.com/gin-contrib/sessions/redis"
	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// Remote is a library whose store is a server.
type Remote struct {
	Name string // framework and library, as in Column
	Ours bool
	// Open connects to a server, through the wire.
	Open func(addr string, wire *Wire) (Site, error)
}

// poolSize is how many connections a library may have that uses one for each
// command under way. It is enough for every benchmark, and kept open.
const poolSize = 128

// OnRedis are the libraries with a store in Redis. goredisstore and ours speak
// to it over clients of their own; that of gin-contrib is over redigo.
var OnRedis = []Remote{
	{Name: "chi/scs-goredisstore", Open: func(addr string, wire *Wire) (Site, error) { return openGoRedis(addr, wire, scs.GobCodec{}) }},
	{Name: "chi/scs-goredisstore-msgp", Open: func(addr string, wire *Wire) (Site, error) { return openGoRedis(addr, wire, msgpCodec{}) }},
	{Name: "gin/gin-contrib-redis", Open: openGinRedis},
	{Name: "chi/sessions-redis-securecookie", Ours: true, Open: func(addr string, wire *Wire) (Site, error) { return openRedis(addr, wire, core.SecureCookie, oursChi) }},
	{Name: "chi/sessions-redis-aesgcm", Ours: true, Open: func(addr string, wire *Wire) (Site, error) { return openRedis(addr, wire, core.AESGCM, oursChi) }},
}

func openGoRedis(addr string, wire *Wire, codec scs.Codec) (Site, error) {
	client := goredis.NewClient(&goredis.Options{Addr: addr, Dialer: wire.Dial, PoolSize: poolSize})
	m := scsManager(codec)
	m.Store = goredisstore.New(client)
	return closing{openSCS(Setup{Content: Small}, m), func() { client.Close() }}, nil
}

func openGinRedis(addr string, wire *Wire) (Site, error) {
	pool := &redis.Pool{MaxIdle: poolSize, Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", addr, redis.DialNetDial(func(network, addr string) (net.Conn, error) {
			return wire.Dial(context.Background(), network, addr)
		}))
	}}
	store, err := ginredis.NewStoreWithPool(pool, hashKey)
	if err != nil {
		return nil, err
	}
	var _ ginsessions.Store = store
	return closing{openGinContrib(Setup{Content: Small}, store), func() { pool.Close() }}, nil
}

func openRedis(addr string, wire *Wire, sealer newSealer, build func(*core.Manager, Setup) http.Handler) (Site, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:  []string{addr},
		DisableCache: true,
		DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return wire.Dial(ctx, "tcp", addr)
		},
	})
	if err != nil {
		return nil, err
	}
	store, err := redisstore.New(client, redisstore.Config{Prefix: "peers"})
	if err != nil {
		client.Close()
		return nil, err
	}
	return openStore(store, sealer, build, client.Close)
}

// openStore makes an application of this library on a store.
func openStore(store core.Store, sealer newSealer, build func(*core.Manager, Setup) http.Handler, stop func()) (Site, error) {
	m, err := core.New(core.Config{Store: store, Sealer: sealer, Secrets: secrets})
	if err != nil {
		return nil, err
	}
	return site{handler: build(m, Setup{Content: Small}), close: func() {
		m.Close()
		stop()
	}}, nil
}

func redisReady(ctx context.Context, addr string) error {
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	defer client.Close()
	return client.Ping(ctx).Err()
}
