package servers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
)

var mariadb = engine{
	name:     "MariaDB",
	variable: "SESSIONS_TEST_MYSQL",
	example:  "user:password@tcp(127.0.0.1:3306)/database",
	packages: "mariadb-server",
	launch:   launchMariaDB,
}

// MariaDB returns a MariaDB, or the MySQL that the environment names, with a
// database whose tables are the tests' own. A private one acknowledges a commit
// when the operating system has it: that survives the death of the server, not
// of the machine.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	return mariadb.get(t)
}

func launchMariaDB(dir string) (*Server, error) {
	install, err := find("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	server, err := find("mariadbd", "/usr/sbin", "/usr/libexec")
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir, "mysql")
	if err != nil {
		return nil, err
	}
	data, log, socket := filepath.Join(dir, "data"), filepath.Join(dir, "log"), filepath.Join(dir, "socket")
	err = prepare(command{path: install, dir: dir, user: who, log: log, args: []string{
		"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=32M"}})
	if err != nil {
		return nil, err
	}

	s := &Server{
		url: "root@unix(" + socket + ")/sessions",
		command: command{path: server, dir: dir, user: who, log: log, args: []string{
			"--no-defaults", "--datadir=" + data, "--socket=" + socket, "--skip-networking", "--pid-file=" + filepath.Join(dir, "pid"),
			"--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync", "--sync-frm=OFF", "--innodb-log-file-size=32M", "--max-connections=200"}},
	}
	s.ready = func(ctx context.Context) error {
		db, err := sql.Open("mysql", "root@unix("+socket+")/")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS sessions")
		return errors.Join(err, db.Close())
	}
	s.cut = func(ctx context.Context) error {
		db, err := sql.Open("mysql", s.url)
		if err != nil {
			return err
		}
		defer db.Close()
		// This connection is among them.
		_, err = db.ExecContext(ctx, "KILL CONNECTION USER root")
		if errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) {
			err = nil
		}
		return err
	}
	return s, nil
}
