package sqlstore

import (
	"context"
	"database/sql"
)

// prepares reports whether it pays to keep statements prepared. For MySQL that
// saves messages to the server, for SQLite most of the work of a statement. A
// driver for PostgreSQL does it by itself where the connection allows it.
func (d Dialect) prepares() bool { return d != PostgreSQL }

func (s *Store) execContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if !s.dialect.prepares() || len(args) == 0 {
		return s.db.ExecContext(ctx, query, args...)
	}
	stmt, err := s.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

func (s *Store) queryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if !s.dialect.prepares() {
		return s.db.QueryContext(ctx, query, args...)
	}
	stmt, err := s.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// statement returns a prepared statement. [sql.Stmt] prepares it again on
// connections that do not have it.
func (s *Store) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.prepared.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if other, taken := s.prepared.LoadOrStore(query, stmt); taken {
		stmt.Close()
		stmt = other.(*sql.Stmt)
	}
	return stmt, nil
}

func (s *Store) closeStatements() {
	s.prepared.Range(func(query, stmt any) bool {
		stmt.(*sql.Stmt).Close()
		return true
	})
}
