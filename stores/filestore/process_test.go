//go:build unix

package filestore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// The tests of this file start this program a second time, as another process
// on the same directory. Variables of the environment tell it what to do there.
const (
	childRole = "FILESTORE_TEST_ROLE"
	childDir  = "FILESTORE_TEST_DIR"
	childArg  = "FILESTORE_TEST_ARG"
)

// roles are what the other process can do. It says when it is ready with a line
// on its standard output, and goes on when its standard input ends.
var roles = map[string]func(ctx context.Context, s *Store, arg string) error{
	"count": func(ctx context.Context, s *Store, arg string) error {
		id, err := core.ParseID(arg)
		if err != nil {
			return err
		}
		ready()
		return count(ctx, s, id, countEach)
	},
	"write": func(ctx context.Context, s *Store, arg string) error { // until it is killed
		ready()
		for n := uint64(0); ; n++ {
			for _, text := range strings.Split(arg, ",") {
				id, err := core.ParseID(text)
				if err != nil {
					return err
				}
				r, err := s.Load(ctx, id)
				if err != nil {
					return err
				}
				r.Version++
				r.User = []string{"ann", "bob"}[r.Version%2]
				r.Values = fillOf(r.Version)
				if err := s.Update(ctx, r); err != nil {
					return err
				}
			}
		}
	},
	"revise": func(ctx context.Context, s *Store, arg string) error { // until it is gone
		id, err := core.ParseID(arg)
		if err != nil {
			return err
		}
		ready()
		for {
			r, err := s.Load(ctx, id)
			if err == nil {
				r.Version++
				err = s.Update(ctx, r)
			}
			if err != nil && !errors.Is(err, core.ErrConflict) {
				fmt.Println(err)
				return nil
			}
		}
	},
	"lock": func(ctx context.Context, s *Store, arg string) error {
		id, err := core.ParseID(arg)
		if err != nil {
			return err
		}
		unlock, err := s.Lock(ctx, id)
		if err != nil {
			return err
		}
		defer unlock()
		ready()
		return nil
	},
	"wait": func(ctx context.Context, s *Store, arg string) error { // until it is killed
		id, err := core.ParseID(arg)
		if err != nil {
			return err
		}
		fmt.Println("ready")
		unlock, err := s.Lock(ctx, id)
		if err != nil {
			return err
		}
		unlock()
		return nil
	},
	"hold": func(ctx context.Context, s *Store, arg string) error {
		id, err := core.ParseID(arg)
		if err != nil {
			return err
		}
		release, err := s.hold(ctx, id)
		if err != nil {
			return err
		}
		defer release()
		ready()
		return nil
	},
}

// ready says so, and waits for the go-ahead.
func ready() {
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

const countEach = 150

// fillOf is what the values of a version are, of a length of its own.
func fillOf(version uint64) []byte {
	return []byte(strings.Repeat(strconv.FormatUint(version, 36)+" ", 50+int(version%9)*400))
}

func TestMain(m *testing.M) {
	role := os.Getenv(childRole)
	if role == "" {
		os.Exit(m.Run())
	}
	s, err := New(Config{Dir: os.Getenv(childDir), NoSync: true, SweepInterval: -1, Clock: newClock().Now})
	if err == nil {
		err = roles[role](context.Background(), s, os.Getenv(childArg))
		s.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process is another process.
type process struct {
	f     *fixture
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Scanner
}

// start starts a process and returns when it is ready.
func (f *fixture) start(role, arg string) *process {
	f.Helper()
	p := &process{f: f, cmd: exec.CommandContext(f.ctx, os.Args[0])}
	p.cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+f.dir, childArg+"="+arg)
	p.cmd.Stderr = os.Stderr
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	f.must(err)
	out, err := p.cmd.StdoutPipe()
	f.must(err)
	p.out = bufio.NewScanner(out)
	f.must(p.cmd.Start())
	f.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGCONT)
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	if !p.out.Scan() || p.out.Text() != "ready" {
		f.Fatalf("the process says %q", p.out.Text())
	}
	return p
}

// proceed gives the go-ahead.
func (p *process) proceed() { p.stdin.Close() }

// end waits for the process to end well, and returns what it said last.
func (p *process) end() (said string) {
	p.f.Helper()
	for p.out.Scan() {
		said = p.out.Text()
	}
	p.f.must(p.cmd.Wait())
	return said
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.f.Helper()
	p.f.must(p.cmd.Process.Kill())
	p.cmd.Wait()
}

// Features F39 and W52. Fails without the flock: updates of one process would
// undo the other's.
func TestTwoProcessesCount(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	r := f.record("ann")
	r.Values = make([]byte, 8)
	f.must(s.Create(f.ctx, r))
	p := f.start("count", r.ID.String())
	p.proceed()
	f.must(count(f.ctx, s, r.ID, countEach))
	p.end()
	got, err := s.Load(f.ctx, r.ID)
	f.must(err)
	if n := binary.BigEndian.Uint64(got.Values); n != 2*countEach || got.Version != 2*countEach+1 {
		t.Errorf("counted %d in %d versions, want %d", n, got.Version, 2*countEach)
	}
}

// A session that one process ends stays ended, while another writes it. Fails
// without the flock, or if Update writes what is not there.
func TestLogoutWhileAnotherProcessWrites(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	for range 3 {
		r := f.create(s, "ann")
		p := f.start("revise", r.ID.String())
		p.proceed()
		for { // it is at it
			got, err := s.Load(f.ctx, r.ID)
			f.must(err)
			if got.Version > 20 {
				break
			}
		}
		existed, err := s.Delete(f.ctx, r.ID)
		f.must(err)
		if !existed {
			t.Error("Delete: the record was not there")
		}
		if said := p.end(); said != core.ErrNotFound.Error() {
			t.Errorf("the other process met %q, want %q", said, core.ErrNotFound)
		}
		_, err = s.Load(f.ctx, r.ID)
		f.want("Load after the end of both", err, core.ErrNotFound)
		f.wantListed(s, "ann")
		if left := f.leftovers(); left != nil {
			t.Errorf("left over: %v", left)
		}
	}
}

// Feature B11. Fails if records are written in place.
func TestProcessKilledWhileItWrites(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	var ids []core.ID
	var names []string
	for range 20 {
		r := f.record("bob")
		r.Values = fillOf(1)
		f.must(s.Create(f.ctx, r))
		ids, names = append(ids, r.ID), append(names, r.ID.String())
	}
	seen := map[core.ID]uint64{}
	for round := range 15 {
		p := f.start("write", strings.Join(names, ","))
		p.proceed()
		for { // somewhere in its midst, another place each time
			got, err := s.Load(f.ctx, ids[round])
			f.must(err)
			if got.Version > seen[ids[round]]+uint64(round%4) {
				break
			}
		}
		p.kill()
		listed := map[core.ID]string{}
		for _, user := range []string{"ann", "bob"} {
			recs, err := s.ListUser(f.ctx, user)
			f.must(err)
			for _, r := range recs {
				listed[r.ID] = r.User
			}
		}
		for _, id := range ids {
			r, err := s.Load(f.ctx, id)
			if err != nil {
				t.Fatalf("Load after the process was killed: %v", err)
			}
			if r.Version < seen[id] || string(r.Values) != string(fillOf(max(r.Version, 1))) {
				t.Errorf("version %d, after %d before, has values of %d bytes", r.Version, seen[id], len(r.Values))
			}
			if listed[id] != r.User {
				t.Errorf("the session of %q is listed under %q", r.User, listed[id])
			}
			// Its lock died with it. Fails if that is more than a flock.
			r.Version++
			r.Values = fillOf(r.Version)
			f.must(s.Update(f.ctx, r))
			seen[id] = r.Version
		}
	}
	_, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	f.must(err)
	for _, name := range f.files() {
		if strings.HasSuffix(name, temporary) || strings.HasSuffix(name, corrupt) || strings.HasPrefix(name, "locks/") {
			t.Errorf("left over: %s", name)
		}
	}
}

// Fails if the lock of an ID is anything that outlives its process, or if who
// waits for it is not woken.
func TestProcessKilledWhileItHoldsLock(t *testing.T) {
	f := newFixture(t)
	s := f.sleepy()
	id := f.record("").ID
	p := f.start("lock", id.String())
	ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	_, err := s.Lock(ctx, id)
	f.want("Lock while another process has it", err, context.DeadlineExceeded)
	ended := f.waitAsleep(f.ctx, s, id, lockName(id))
	p.kill()
	f.got(ended)()
	f.wantNobodyLeft(s)
}

// Fails if the place next in line outlives the process that has it.
func TestProcessKilledWhileItWaits(t *testing.T) {
	f := newFixture(t)
	a, b := f.sleepy(), f.sleepy()
	id := f.record("").ID
	unlock := f.lock(a, id)
	p := f.start("wait", id.String())
	f.waitForWaiter(lockName(id))
	f.until("the process is next in line", func() bool {
		file, err := b.locks.try(lockName(id) + waiting)
		f.must(err)
		if file != nil {
			b.locks.drop(lockName(id)+waiting, file)
		}
		return file == nil
	})
	ended := f.waitAsleep(f.ctx, b, id, lockName(id)+waiting)
	p.kill()
	unlock()
	f.got(ended)()
	f.wantNobodyLeft(a, b)
}

// A lock that another process releases is had soon. Fails if the waiter only
// looks.
func TestLockPassesBetweenProcesses(t *testing.T) {
	f := newFixture(t)
	s := f.sleepy()
	id := f.record("").ID
	for range 3 {
		p := f.start("lock", id.String())
		ended := f.waitAsleep(f.ctx, s, id, lockName(id))
		p.proceed()
		f.got(ended)()
		p.end()
	}
	f.wantNobodyLeft(s)
}

// Fails if who waits for the lock of a process that was stopped waits for longer
// than the context says.
func TestProcessStoppedWhileItHoldsLock(t *testing.T) {
	f := newFixture(t)
	s := f.sleepy()
	id := f.record("").ID
	p := f.start("lock", id.String())
	f.must(p.cmd.Process.Signal(syscall.SIGSTOP))
	for range 3 {
		ctx, cancel := context.WithTimeout(f.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := s.Lock(ctx, id)
		f.want("Lock while a stopped process has it", err, context.DeadlineExceeded)
	}
	ended := f.waitAsleep(f.ctx, s, id, lockName(id))
	f.must(p.cmd.Process.Signal(syscall.SIGCONT))
	p.proceed()
	f.got(ended)()
	p.end()
	f.wantNobodyLeft(s)
}

// A process that is stopped, by a debugger or by SIGSTOP, holds others up no
// longer than their context says. Fails if a lock is waited for with a flock
// that blocks.
func TestProcessStoppedWhileItChanges(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	r := f.create(s, "ann")
	other := f.record("")
	other.ID[15] = r.ID[15] + 1 // under another lock
	f.must(s.Create(f.ctx, other))
	p := f.start("hold", r.ID.String())
	f.must(p.cmd.Process.Signal(syscall.SIGSTOP))
	next := r
	next.Version++
	ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	f.want("Update while a stopped process has the lock", s.Update(ctx, next), context.DeadlineExceeded)
	f.wantVersion(s, r.ID, 1)
	f.wantListed(s, "ann", r.ID)
	other.Version++
	f.must(s.Update(f.ctx, other))
	f.must(p.cmd.Process.Signal(syscall.SIGCONT))
	p.proceed()
	f.must(s.Update(f.ctx, next))
	p.end()
}
