package peers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Engine is a private server of a database, on a directory of its own. It
// listens on loopback and dies with this process.
type Engine struct {
	Addr string // host and port
	dir  string
	cmd  *exec.Cmd
}

// engineTimeout bounds how long a server may take to answer.
const engineTimeout = 60 * time.Second

// StartRedis starts a Redis that keeps nothing on disk. An error that wraps
// exec.ErrNotFound means that it is not installed.
func StartRedis() (*Engine, error) {
	program, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	e, err := newEngine(nil)
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(e.Addr)
	err = e.start(nil, program, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", e.dir)
	return e.await(err, func(ctx context.Context) error { return redisReady(ctx, e.Addr) })
}

// StartPostgres starts a PostgreSQL with its default settings, but for the
// disk, whose speed is not what is compared here: it writes without waiting.
// An error that wraps exec.ErrNotFound means that it is not installed.
func StartPostgres() (*Engine, error) {
	const where = "/usr/lib/postgresql/*/bin"
	initdb, err := find("initdb", where)
	if err != nil {
		return nil, err
	}
	program, err := find("postgres", where)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	e, err := newEngine(who)
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(e.Addr)
	data := filepath.Join(e.dir, "data")
	if err = e.start(who, initdb, "-D", data, "-U", "peers", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err == nil {
		err = e.cmd.Wait()
	}
	if err == nil {
		err = e.start(who, program, "-D", data, "-k", e.dir, "-c", "listen_addresses="+host, "-p", port, "-c", "fsync=off", "-c", "max_connections=200")
	}
	return e.await(err, func(ctx context.Context) error { return postgresReady(ctx, e.Addr) })
}

func newEngine(who *syscall.Credential) (*Engine, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := free.Addr().String()
	free.Close()
	dir, err := os.MkdirTemp("", "sessions-peers-")
	if err != nil {
		return nil, err
	}
	if who != nil {
		err = os.Chown(dir, int(who.Uid), int(who.Gid))
	}
	return &Engine{Addr: addr, dir: dir}, err
}

// start runs a program. The kernel ends it when the thread that started it
// ends, so that thread is never given back.
func (e *Engine) start(who *syscall.Credential, program string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	e.cmd = exec.Command(program, args...)
	e.cmd.Dir, e.cmd.Stdout, e.cmd.Stderr = e.dir, log, log
	e.cmd.SysProcAttr = dieWithParent(who)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- e.cmd.Start()
		select {}
	}()
	return <-started
}

// await waits until the server answers.
func (e *Engine) await(err error, ready func(context.Context) error) (*Engine, error) {
	for end := time.Now().Add(engineTimeout); err == nil; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := ready(ctx)
		cancel()
		if err == nil {
			return e, nil
		}
		if time.Now().After(end) {
			break
		}
	}
	log, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	e.Stop()
	return nil, fmt.Errorf("peers: the server does not come up: %v\n%s", err, log)
}

// Stop ends the server and removes its directory.
func (e *Engine) Stop() {
	if e.cmd != nil && e.cmd.Process != nil {
		e.cmd.Process.Signal(syscall.SIGTERM)
		done := time.AfterFunc(5*time.Second, func() { e.cmd.Process.Kill() })
		e.cmd.Wait()
		done.Stop()
	}
	os.RemoveAll(e.dir)
}

// find looks for a program in PATH and in other places, patterns allowed.
func find(program string, dirs ...string) (string, error) {
	for _, dir := range dirs {
		if found, _ := filepath.Glob(filepath.Join(dir, program)); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return exec.LookPath(program)
}

// unprivileged returns the first user that exists, for a program that refuses
// to run as root; nil if this one does not.
func unprivileged(users ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range users {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
	}
	return nil, fmt.Errorf("peers: there is none of the users %v to run a server as", users)
}
