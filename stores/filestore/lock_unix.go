//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore

import (
	"os"
	"syscall"
)

// supported says that files can be locked.
const supported = true

// flock locks a file, or reports that another has it locked; if it is to wait, it
// sleeps until nobody has. Closing the file frees it.
func flock(f *os.File, wait bool) (ok bool, err error) {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), how); err {
		case nil:
			return true, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return false, nil
		default:
			return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// checkOwner checks that a directory belongs to a user.
func checkOwner(dir string, info os.FileInfo, uid int) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != uid {
		return refuse("Dir, %s, belongs to user %d, who could read and change the sessions of user %d, who runs this process; set it with: chown %d %s",
			dir, st.Uid, uid, uid, dir)
	}
	return nil
}
