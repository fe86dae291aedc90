package sqlstore_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

// Import the driver for its effect: _ "github.com/jackc/pgx/v5/stdlib".
func ExampleNew() {
	db, err := sql.Open("pgx", "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)

	store, err := sqlstore.New(db, sqlstore.Config{Dialect: sqlstore.PostgreSQL})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	secret, err := core.ParseSecret("the output of: openssl rand -base64 32")
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := core.New(core.Config{Store: store, Secrets: []core.Secret{secret}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	defer sessions.Close()
}
