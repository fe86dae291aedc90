module github.com/coatcheck/sessions

go 1.25

require (
	github.com/fxamacker/cbor/v2 v2.7.0
	github.com/gorilla/securecookie v1.1.2
)

require github.com/x448/float16 v0.8.4 // indirect
