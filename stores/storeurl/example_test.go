package storeurl_test

import (
	"context"
	"fmt"
	"log"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/storeurl"
)

// Where the sessions are is said by a URL, such as that of an environment
// variable. The rest of the program is the same for all of them.
func ExampleOpen() {
	ctx := context.Background()
	store, err := storeurl.Open(ctx, "memory://?max_sessions=10000")
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := core.New(core.Config{Store: store, Secrets: []core.Secret{core.GenerateSecret()}})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	if err := sessions.Migrate(ctx); err != nil { // the tables, where there are any
		log.Fatal(err)
	}

	_, err = storeurl.Open(ctx, "memory://?max_session=10000")
	fmt.Println(err)
	// Output: sessions: configuration: storeurl: memory has no parameter "max_session"; known: max_sessions, max_bytes, sweep_interval
}
