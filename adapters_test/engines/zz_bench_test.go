package engines

import (
	"database/sql"
	"testing"
	"time"
	"strings"
	"context"
	"crypto/rand"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

func rec1() core.Record {
	now := time.Now()
	r := core.Record{Version: 1, Generation: 1, Proof: [32]byte{1}, User: "ann", CreatedAt: now, LastAccess: now, ExpiresAt: now.Add(time.Hour), Deadline: now.Add(time.Hour), IdleTimeout: time.Hour, Values: make([]byte, 300)}
	rand.Read(r.ID[:])
	return r
}

func benchOn(b *testing.B, db *sql.DB, d sqlstore.Dialect) {
	s := newStore(b, db, sqlstore.Config{Dialect: d})
	r := rec1()
	s.Create(b.Context(), r)
	for _, par := range []int{1, 16} {
		name := map[int]string{1: "1", 16: "16"}[par]
		b.Run("load-"+name, func(b *testing.B) {
			b.SetParallelism(par/2 + 1)
			if par == 1 { for b.Loop() { s.Load(context.Background(), r.ID) }; return }
			b.RunParallel(func(pb *testing.PB) { for pb.Next() { if _, err := s.Load(context.Background(), r.ID); err != nil { b.Error(err) } } })
		})
		b.Run("update-"+name, func(b *testing.B) {
			b.SetParallelism(par/2 + 1)
			one := func() func() {
				r := rec1(); s.Create(context.Background(), r)
				return func() { r.Version++; if err := s.Update(context.Background(), r); err != nil { b.Error(err) } }
			}
			if par == 1 { f := one(); for b.Loop() { f() }; return }
			b.RunParallel(func(pb *testing.PB) { f := one(); for pb.Next() { f() } })
		})
		b.Run("create-"+name, func(b *testing.B) {
			b.SetParallelism(par/2 + 1)
			if par == 1 { for b.Loop() { s.Create(context.Background(), rec1()) }; return }
			b.RunParallel(func(pb *testing.PB) { for pb.Next() { if err := s.Create(context.Background(), rec1()); err != nil { b.Error(err) } } })
		})
	}
	var n int
	stmt, err := db.Prepare(map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "SELECT 1 WHERE 1=$1", sqlstore.MySQL: "SELECT 1 FROM DUAL WHERE 1=?", sqlstore.SQLite: "SELECT 1 WHERE 1=?"}[d])
	if err != nil { b.Fatal(err) }
	b.Run("stmt", func(b *testing.B) { for b.Loop() { stmt.QueryRow(1).Scan(&n) } })
	b.Run("plain", func(b *testing.B) { for b.Loop() { db.QueryRow("SELECT 1 WHERE 1="+map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "$1"}[d]+strings.Repeat("?", map[bool]int{true:1}[d != sqlstore.PostgreSQL]), 1).Scan(&n) } })
}

func BenchmarkS(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchOn(b, sqliteDB(b), sqlstore.SQLite) })
	b.Run("pg", func(b *testing.B) { benchOn(b, open(b, "pgx", servers.Postgres(b).URL()), sqlstore.PostgreSQL) })
	u := servers.MariaDB(b).URL()
	b.Run("my", func(b *testing.B) { benchOn(b, open(b, "mysql", u), sqlstore.MySQL) })
	b.Run("my-nointerp", func(b *testing.B) { benchOn(b, open(b, "mysql", strings.Replace(u, "true", "false", 1)), sqlstore.MySQL) })
}
