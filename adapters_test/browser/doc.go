// Package browser drives the playground with a real browser. It is a module of
// its own, so that nobody who uses the library downloads a browser's driver.
package browser
