package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"testing"
)

// fake is a database that does what a test says, call by call.
type fake struct {
	// answer is called with each statement.
	answer func(ctx context.Context, query string, args []driver.NamedValue) reply

	mu    sync.Mutex
	calls []string // the statements so far
}

// reply is what a statement gives: affected rows, or rows, or an error.
type reply struct {
	affected int64
	rows     [][]driver.Value
	err      error
}

func (f *fake) open(t testing.TB) *sql.DB {
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return db
}

func (f *fake) do(ctx context.Context, query string, args []driver.NamedValue) reply {
	f.mu.Lock()
	f.calls = append(f.calls, query)
	f.mu.Unlock()
	return f.answer(ctx, query, args)
}

// count returns how many statements have run.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

func (f *fake) Connect(context.Context) (driver.Conn, error) { return fakeConn{f}, nil }
func (f *fake) Driver() driver.Driver                        { return nil }

type fakeConn struct{ f *fake }

func (c fakeConn) Begin() (driver.Tx, error)                 { return nil, errors.New("no transactions") }
func (c fakeConn) Close() error                              { return nil }
func (c fakeConn) Prepare(query string) (driver.Stmt, error) { return fakeStmt{c, query}, nil }

func (c fakeConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	r := c.f.do(ctx, query, args)
	return driver.RowsAffected(r.affected), r.err
}

func (c fakeConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	r := c.f.do(ctx, query, args)
	return &fakeRows{r.rows}, r.err
}

type fakeStmt struct {
	conn  fakeConn
	query string
}

func (s fakeStmt) Close() error  { return nil }
func (s fakeStmt) NumInput() int { return -1 }

func (s fakeStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s fakeStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s fakeStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

func (s fakeStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

type fakeRows struct{ rest [][]driver.Value }

func (r *fakeRows) Close() error { return nil }

func (r *fakeRows) Columns() []string {
	if len(r.rest) == 0 {
		return nil
	}
	return make([]string, len(r.rest[0]))
}

func (r *fakeRows) Next(dest []driver.Value) error {
	if len(r.rest) == 0 {
		return io.EOF
	}
	copy(dest, r.rest[0])
	r.rest = r.rest[1:]
	return nil
}
