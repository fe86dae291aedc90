//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filestore

import (
	"errors"
	"os"
)

// supported says that files can be locked. Without it New fails, and nothing
// below is ever called.
const supported = false

func flock(*os.File, bool) (ok bool, err error) { return false, errors.ErrUnsupported }

func checkOwner(string, os.FileInfo, int) error { return nil }
