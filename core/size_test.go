package core

import (
	"net/http"
	"testing"
	"unsafe"
)

// What every request allocates, and what those that use their session allocate
// besides, fill the allocator's size classes to the last byte: fails if a new
// field makes each request pay for the next class (BenchmarkRequest S1, S3). The
// first must stay at 512, up to which objects need no header.
func TestSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the figures are for 64 bits")
	}
	if size := unsafe.Sizeof(exchange{}) - unsafe.Sizeof(http.Request{}); size > 512-304 {
		t.Errorf("an exchange takes %d bytes beside its request, at most %d", size, 512-304)
	}
	if size := unsafe.Sizeof(state{}); size > 768 {
		t.Errorf("a session's state takes %d bytes, at most 768", size)
	}
}
