package peers

import (
	"context"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresPool is how many connections each library has to PostgreSQL, which
// spends a process on each.
const postgresPool = 32

// OnPostgres are the libraries with a store in PostgreSQL.
var OnPostgres = []Remote{
	{Name: "chi/scs-pgxstore", Open: func(addr string, wire *Wire) (Site, error) { return openPgxStore(addr, wire, scs.GobCodec{}) }},
	{Name: "chi/scs-pgxstore-msgp", Open: func(addr string, wire *Wire) (Site, error) { return openPgxStore(addr, wire, msgpCodec{}) }},
	{Name: "chi/sessions-sql-securecookie", Ours: true, Open: func(addr string, wire *Wire) (Site, error) { return openSQL(addr, wire, core.SecureCookie) }},
	{Name: "chi/sessions-sql-aesgcm", Ours: true, Open: func(addr string, wire *Wire) (Site, error) { return openSQL(addr, wire, core.AESGCM) }},
}

func postgresURL(addr string) string { return "postgres://peers@" + addr + "/postgres?sslmode=disable" }

func openPgxStore(addr string, wire *Wire, codec scs.Codec) (Site, error) {
	cfg, err := pgxpool.ParseConfig(postgresURL(addr))
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.DialFunc = wire.Dial
	cfg.MaxConns = postgresPool
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(context.Background(), `CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL);
		CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)`)
	if err != nil {
		pool.Close()
		return nil, err
	}
	m := scsManager(codec)
	m.Store = pgxstore.NewWithCleanupInterval(pool, 0)
	return closing{openSCS(Setup{Content: Small}, m), pool.Close}, nil
}

func openSQL(addr string, wire *Wire, sealer newSealer) (Site, error) {
	cfg, err := pgx.ParseConfig(postgresURL(addr))
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = wire.Dial
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(postgresPool)
	db.SetMaxIdleConns(postgresPool)
	store, err := sqlstore.New(db, sqlstore.Config{Dialect: sqlstore.PostgreSQL, Table: "ours", SweepInterval: -1})
	if err == nil {
		err = store.Migrate(context.Background())
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return openStore(store, sealer, oursChi, func() { db.Close() })
}

func postgresReady(ctx context.Context, addr string) error {
	conn, err := pgx.Connect(ctx, postgresURL(addr))
	if err == nil {
		err = conn.Close(ctx)
	}
	return err
}
