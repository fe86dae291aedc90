package storetest

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// The files are never overwritten: a golden that changed is a broken promise.
var write = flag.Bool("write", false, "write the stored form of golden records that have none yet")

func TestMain(m *testing.M) {
	flag.Parse()
	if *write {
		for _, g := range goldens {
			data, _ := g.record.MarshalBinary()
			var text strings.Builder
			for len(data) > 32 {
				text.WriteString(hex.EncodeToString(data[:32]) + "\n")
				data = data[32:]
			}
			text.WriteString(hex.EncodeToString(data) + "\n")
			f, err := os.OpenFile("testdata/"+g.name+".hex", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				continue
			}
			f.WriteString(text.String())
			f.Close()
		}
	}
	os.Exit(m.Run())
}

// Fails if the stored form changes in any way that old or new versions of the
// library would notice: a field moved, an encoding altered, a flag reused.
func TestGolden(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			stored := g.stored(t)
			var got core.Record
			if err := got.UnmarshalBinary(stored); err != nil {
				t.Fatalf("UnmarshalBinary: %v", err)
			}
			if d := diff(got, g.record); d != "" {
				t.Errorf("the stored form is read wrong: %s", d)
			}
			data, err := g.record.MarshalBinary()
			if err != nil {
				t.Fatalf("MarshalBinary: %v", err)
			}
			if !bytes.Equal(data, stored) {
				t.Errorf("the stored form is now\n%x\nand was\n%x", data, stored)
			}
		})
	}
}
