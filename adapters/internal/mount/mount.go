// Package mount measures where adapters are mounted.
package mount

import (
	"net/http"
	"strings"
)

// Depth returns how many segments a path has, those of a pattern included:
// 2 for /shops/:shop.
func Depth(path string) int {
	n := 0
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "" {
			n++
		}
	}
	return n
}

// At returns what core.Manager.ServeAt asks of an adapter that is mounted at
// a path which is known beforehand.
func At(path string) func(*http.Request) int {
	n := Depth(path)
	return func(*http.Request) int { return n }
}
