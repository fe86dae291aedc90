// The playground is one server that exposes every session operation over HTTP,
// on any adapter and any store, to be tried with curl and a browser:
//
//	go run ./examples/playground
//	go run ./examples/playground -adapter echo -store cookie -addr 127.0.0.1:0
//
// Its page, GET /, lists the routes.
package main

import "github.com/coatcheck/sessions/examples/playground/app"

func main() { app.Main(app.Stores()) }
