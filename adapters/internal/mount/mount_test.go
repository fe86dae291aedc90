package mount

import "testing"

// A pattern's parameters are segments; slashes at the ends are not.
func TestDepth(t *testing.T) {
	for path, want := range map[string]int{
		"": 0, "/": 0, "//": 0, "/app": 1, "/app/": 1, "app": 1, "/a/b": 2, "/a//b": 2, "/t/:tenant": 2, "/{tenant}/x/": 2,
	} {
		if got := Depth(path); got != want {
			t.Errorf("Depth(%q) = %d, want %d", path, got, want)
		}
		if got := At(path)(nil); got != want {
			t.Errorf("At(%q) = %d, want %d", path, got, want)
		}
	}
}
