package redisstore_test

import (
	"context"
	"crypto/tls"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/redisstore"
	"github.com/redis/rueidis"
)

// One server. With ForceSingleClient, a program can start before its server
// does: there is a client along with the error.
func ExampleNew() {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       []string{"127.0.0.1:6379"},
		ForceSingleClient: true,
	})
	if client == nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := redisstore.New(client, redisstore.Config{Prefix: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	secret, err := core.ParseSecret(os.Getenv("SESSION_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	sessions := core.MustNew(core.Config{Store: store, Secrets: []core.Secret{secret}})
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", sessions.Handler(http.DefaultServeMux)))
}

// Behind Sentinel: the addresses are those of the Sentinels, and the client
// follows the primary.
func ExampleNew_sentinel() {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
		Sentinel:    rueidis.SentinelOption{MasterSet: "sessions"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := redisstore.New(client, redisstore.Config{Prefix: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	_ = store
}

// A Cluster, with TLS and a user of its own: any nodes will do, the client finds
// the others. All that the user must be allowed is
//
//	ACL SETUSER shop on >password ~shop:* +get +set +getrange +setrange +del +pexpire +pexpireat +pttl
//	    +zadd +zrange +zrem +eval +evalsha +scan +role +info +cluster +@connection
//	    &shop:l +publish +subscribe
//
// The last line is for [Store.Lock]: without it, who waits for a lock is not
// woken, and looks every 64 milliseconds.
func ExampleNew_cluster() {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"node-1:6379", "node-2:6379", "node-3:6379"},
		Username:    "shop",
		Password:    os.Getenv("REDIS_PASSWORD"),
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
		ClusterOption: rueidis.ClusterOption{
			ShardsRefreshInterval: 10 * time.Second, // notice a failover without traffic
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := redisstore.New(client, redisstore.Config{Prefix: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	_ = store
}

// A program that would rather not start than lose sessions later.
func ExampleStore_Check() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	store, err := redisstore.New(client, redisstore.Config{Prefix: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := store.Check(ctx); err != nil {
		log.Fatal(err)
	}
}
