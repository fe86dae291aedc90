package servers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// identity is whom to run a program as; the zero value is whoever runs the
// tests. Database servers refuse to run as root.
type identity struct{ credential *syscall.Credential }

// unprivileged returns the first of the users that exists, if the tests run as
// root, and gives it the directory.
func unprivileged(dir string, users ...string) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{}, nil
	}
	for _, name := range append(users, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return identity{}, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return identity{}, err
		}
		return identity{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, int(uid), int(gid))
	}
	return identity{}, fmt.Errorf("the tests run as root, and there is none of the users %v to run a server as", users)
}

// process is a program under way.
type process struct {
	pid    int
	exited chan struct{}
	err    error // once exited is closed
}

// run starts a program. It dies with this process, however that ends.
func run(c command) (*process, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user.credential, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal is sent when the thread that started the program ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	return p, <-started
}

// kill ends the process and its children, and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) pause()  { p.signal(syscall.SIGSTOP) }
func (p *process) resume() { p.signal(syscall.SIGCONT) }

// signal reaches the children too: those of PostgreSQL serve the connections,
// each in a process group of its own.
func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.exited:
		return // the number may be another's by now
	default:
	}
	// A parent that stopped or died makes no more of them.
	syscall.Kill(p.pid, sig)
	for _, pid := range children(p.pid) {
		syscall.Kill(pid, sig)
	}
}

// children returns the processes that pid started.
func children(parent int) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		// The name, in parentheses, may hold anything.
		_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
		fields := bytes.Fields(rest)
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}
