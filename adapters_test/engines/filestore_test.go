package engines

import (
	"path/filepath"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/filestore"
)

func fileSpec(t testing.TB) appSpec {
	return newSpec("files", filepath.Join(t.TempDir(), "sessions"), "")
}

func openFiles(spec appSpec) (core.Store, error) {
	return filestore.New(filestore.Config{Dir: spec.DSN, Create: true, SweepInterval: -1})
}
