// Package engines has no code: its tests run the stores on the engines that
// they are for. It is a module of its own for the sake of the drivers.
package engines
