package core

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// writer is the exchange as the handler's http.ResponseWriter. It commits at
// the first byte, whichever way that leaves. Handlers and frameworks ask a
// writer for optional interfaces by type assertion, so the one they get has
// exactly those of the writer inside: one of the types below. Each holds just
// the pointer, so making an interface of it allocates nothing.
type writer struct{ *exchange }

func (w writer) Header() http.Header { return w.inner.Header() }

func (w writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.inner.WriteHeader(status) // informational: the answer is still to come
		return
	}
	if w.begin(status) == nil {
		w.inner.WriteHeader(status)
	}
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return w.inner.Write(p)
}

func (w writer) WriteString(p string) (int, error) {
	if err := w.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return io.WriteString(w.inner, p)
}

// Unwrap is for http.ResponseController, which goes from writer to writer until
// one can do what it wants: control sees to it that none does so uncommitted.
func (w writer) Unwrap() http.ResponseWriter { return control(w) }

func (w writer) flush() error {
	if err := w.begin(http.StatusOK); err != nil {
		return err
	}
	return http.NewResponseController(w.inner).Flush()
}

func (w writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.begun {
		w.hijacked = true
	}
	if err := w.begin(http.StatusSwitchingProtocols); err != nil {
		return nil, nil, err
	}
	conn, buf, err := http.NewResponseController(w.inner).Hijack()
	if err != nil && w.hijacked {
		w.stay()
	}
	return conn, buf, err
}

func (w writer) readFrom(r io.Reader) (int64, error) {
	if err := w.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return w.inner.(io.ReaderFrom).ReadFrom(r)
}

func (w writer) push(target string, opts *http.PushOptions) error {
	return w.inner.(http.Pusher).Push(target, opts)
}

// control is what a ResponseController finds behind the writer.
type control struct{ *exchange }

func (c control) Header() http.Header         { return c.inner.Header() }
func (c control) Write(p []byte) (int, error) { return writer(c).Write(p) }
func (c control) WriteHeader(status int)      { writer(c).WriteHeader(status) }
func (c control) Unwrap() http.ResponseWriter { return c.inner }

func (c control) FlushError() error {
	if !reaches[http.Flusher](c.inner) && !reaches[interface{ FlushError() error }](c.inner) {
		return http.ErrNotSupported
	}
	return writer(c).flush()
}

func (c control) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !reaches[http.Hijacker](c.inner) {
		return nil, nil, http.ErrNotSupported
	}
	return writer(c).hijack()
}

// reaches reports whether a ResponseController would find an interface.
func reaches[T any](w http.ResponseWriter) bool {
	for {
		if _, ok := w.(T); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

// F: Flush and FlushError. H: Hijack. R: ReadFrom. P: Push.
type (
	writerF    struct{ writer }
	writerH    struct{ writer }
	writerFH   struct{ writerF }
	writerR    struct{ writer }
	writerFR   struct{ writerF }
	writerHR   struct{ writerH }
	writerFHR  struct{ writerFH }
	writerP    struct{ writer }
	writerFP   struct{ writerF }
	writerHP   struct{ writerH }
	writerFHP  struct{ writerFH }
	writerRP   struct{ writerR }
	writerFRP  struct{ writerFR }
	writerHRP  struct{ writerHR }
	writerFHRP struct{ writerFHR }
)

func (w writerF) Flush()                                           { w.flush() }
func (w writerF) FlushError() error                                { return w.flush() }
func (w writerH) Hijack() (net.Conn, *bufio.ReadWriter, error)     { return w.hijack() }
func (w writerFH) Hijack() (net.Conn, *bufio.ReadWriter, error)    { return w.hijack() }
func (w writerR) ReadFrom(r io.Reader) (int64, error)              { return w.readFrom(r) }
func (w writerFR) ReadFrom(r io.Reader) (int64, error)             { return w.readFrom(r) }
func (w writerHR) ReadFrom(r io.Reader) (int64, error)             { return w.readFrom(r) }
func (w writerFHR) ReadFrom(r io.Reader) (int64, error)            { return w.readFrom(r) }
func (w writerP) Push(target string, o *http.PushOptions) error    { return w.push(target, o) }
func (w writerFP) Push(target string, o *http.PushOptions) error   { return w.push(target, o) }
func (w writerHP) Push(target string, o *http.PushOptions) error   { return w.push(target, o) }
func (w writerFHP) Push(target string, o *http.PushOptions) error  { return w.push(target, o) }
func (w writerRP) Push(target string, o *http.PushOptions) error   { return w.push(target, o) }
func (w writerFRP) Push(target string, o *http.PushOptions) error  { return w.push(target, o) }
func (w writerHRP) Push(target string, o *http.PushOptions) error  { return w.push(target, o) }
func (w writerFHRP) Push(target string, o *http.PushOptions) error { return w.push(target, o) }

// writer returns the exchange with the optional interfaces of the writer inside.
func (e *exchange) writer() http.ResponseWriter {
	which := 0
	if _, ok := e.inner.(http.Flusher); ok {
		which |= 1
	}
	if _, ok := e.inner.(http.Hijacker); ok {
		which |= 2
	}
	if _, ok := e.inner.(io.ReaderFrom); ok {
		which |= 4
	}
	if _, ok := e.inner.(http.Pusher); ok {
		which |= 8
	}
	switch which {
	case 1:
		return writerF{writer{e}}
	case 2:
		return writerH{writer{e}}
	case 3:
		return writerFH{writerF{writer{e}}}
	case 4:
		return writerR{writer{e}}
	case 5:
		return writerFR{writerF{writer{e}}}
	case 6:
		return writerHR{writerH{writer{e}}}
	case 7:
		return writerFHR{writerFH{writerF{writer{e}}}}
	case 8:
		return writerP{writer{e}}
	case 9:
		return writerFP{writerF{writer{e}}}
	case 10:
		return writerHP{writerH{writer{e}}}
	case 11:
		return writerFHP{writerFH{writerF{writer{e}}}}
	case 12:
		return writerRP{writerR{writer{e}}}
	case 13:
		return writerFRP{writerFR{writerF{writer{e}}}}
	case 14:
		return writerHRP{writerHR{writerH{writer{e}}}}
	case 15:
		return writerFHRP{writerFHR{writerFH{writerF{writer{e}}}}}
	}
	return writer{e}
}
