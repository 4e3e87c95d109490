package netboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds of the HTTP service. A response may take as long as it moves: each part of it has writeTimeout.
const (
	maxConnections          = 4096
	maxConnectionsPerClient = 64
	maxHeader               = 16 << 10 // bytes
	headerTimeout           = 10 * time.Second
	idleTimeout             = 30 * time.Second
	writeTimeout            = 60 * time.Second
	shutdownTimeout         = 5 * time.Second
)

// handler serves the boot routes.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/{mac}", s.serveScript)
	mux.HandleFunc("GET /blob/{digest}", s.serveBlob)
	mux.HandleFunc("GET /loader/{name}", s.serveLoader)
	if s.cfg.Tracker != nil {
		mux.Handle("GET /announce", s.cfg.Tracker)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.counters.http.Add(1)
		t := &tally{ResponseWriter: w, control: http.NewResponseController(w)}
		mux.ServeHTTP(t, r)
		if t.status >= http.StatusBadRequest {
			s.counters.httpFailed.Add(1)
			s.cfg.Logger.Debug("boot HTTP", "from", r.RemoteAddr, "path", r.URL.Path, "status", t.status)
		}
	})
}

// runHTTP serves until ctx ends, then lets responses under way go on for shutdownTimeout.
func (s *Server) runHTTP(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(s.web)
	if stop() {
		_ = server.Close()
	} else {
		<-ended
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serveBlob hands out a kernel or an initramfs. Its bytes never change, so that whoever has them need not ask again.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request) {
	digest, err := fleet.ParseDigest(r.PathValue("digest"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	state := s.cfg.State()
	file, ok := s.bootable(state, digest)
	if !ok {
		http.Error(w, fmt.Sprintf("blob %s: no image boots with it", digest.Short()), http.StatusNotFound)
		return
	}
	if s.crowded() {
		w.Header().Set("Connection", "close") // others wait for the place
	}
	if !s.sendBlob(w, r, file) {
		return
	}
	if mac, known := s.boots.at(state, addressOf(r.RemoteAddr)); known && sentToTheEnd(w, r, file.Size) {
		s.boots.sent(mac, file.phase, "blob "+digest.Short())
	}
}

// sendBlob answers with a boot file: from memory, or from the store if there is no room for it. It reports whether it
// could.
func (s *Server) sendBlob(w http.ResponseWriter, r *http.Request, file bootFile) bool {
	if data := s.shelf.read(r.Context(), file.Blob); data != nil {
		describe(w, file.Digest)
		http.ServeContent(w, r, "", time.Time{}, newShelfReader(data))
		return true
	}
	b, err := s.cfg.Blob(file.Digest)
	if err != nil {
		s.refuseBlob(w, file.Digest, err)
		return false
	}
	defer b.Close()
	describe(w, file.Digest)
	content := newBody(b)
	http.ServeContent(w, r, "", time.Time{}, content)
	if content.err != nil {
		// Fewer bytes than announced were sent, so net/http closes the connection and the client sees the failure.
		s.counters.httpFailed.Add(1)
		s.cfg.Logger.Error("boot HTTP: a blob cannot be read", "blob", file.Digest, "from", r.RemoteAddr, "err", content.err)
		return false
	}
	return true
}

// describe sets the header fields of a blob, whose bytes never change.
func describe(w http.ResponseWriter, d fleet.Digest) {
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("ETag", `"`+d.String()+`"`)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
}

// crowded reports whether so many connections are open that none should be kept for what its client may ask next.
func (s *Server) crowded() bool {
	l, ok := s.web.(*limited)
	return ok && l.crowded()
}

func (s *Server) refuseBlob(w http.ResponseWriter, d fleet.Digest, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, fmt.Sprintf("blob %s: this controller does not hold it", d.Short()), http.StatusNotFound)
		return
	}
	s.cfg.Logger.Error("boot HTTP: a blob cannot be opened", "blob", d, "err", err)
	http.Error(w, fmt.Sprintf("blob %s: this controller cannot read it; its log says why", d.Short()), http.StatusInternalServerError)
}

// serveLoader hands out the files that TFTP has, to firmware that boots by HTTP.
func (s *Server) serveLoader(w http.ResponseWriter, r *http.Request) {
	name, data, err := s.resolve(r.PathValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	switch {
	case name == autoexecScript:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	case strings.HasSuffix(name, ".efi"):
		w.Header().Set("Content-Type", "application/efi") // UEFI 2.10, 24.7.2.1
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	if mac, known := s.boots.at(s.cfg.State(), addressOf(r.RemoteAddr)); known && name != autoexecScript && sentToTheEnd(w, r, int64(len(data))) {
		s.boots.sent(mac, fleet.PhaseLoader, name+" by HTTP")
	}
}

// A tally counts a response, and gives each part of it time anew.
type tally struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	sent    int64
	err     error
}

// WriteHeader implements http.ResponseWriter.
func (t *tally) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *tally) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	if err := t.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := t.ResponseWriter.Write(p)
	t.sent += int64(n)
	if err != nil {
		t.err = err
	}
	return n, err
}

// part is how much of a file in memory is written at once: measured, larger ones are no faster, and a client that takes
// one in writeTimeout is slow, not gone.
const part = 256 << 10

// ReadFrom implements io.ReaderFrom. http.ServeContent copies by way of it: bytes that lie on a shelf are written as they
// lie there. (Measured against sendfile of a file in memory: half as fast again.)
func (t *tally) ReadFrom(src io.Reader) (int64, error) {
	if l, ok := src.(*io.LimitedReader); ok {
		if r, ok := l.R.(*shelfReader); ok {
			return t.writeParts(r.next(l.N))
		}
	}
	return io.Copy(struct{ io.Writer }{t}, src) // by Write alone
}

func (t *tally) writeParts(p []byte) (written int64, err error) {
	for len(p) > 0 && err == nil {
		var n int
		n, err = t.Write(p[:min(part, len(p))])
		written += int64(n)
		p = p[n:]
	}
	return written, err
}

// Unwrap lets http.ResponseController find the connection.
func (t *tally) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// sentToTheEnd reports whether the response that w holds brought the last of size bytes.
func sentToTheEnd(w http.ResponseWriter, r *http.Request, size int64) bool {
	t, ok := w.(*tally)
	if !ok || r.Method != http.MethodGet || t.err != nil {
		return false
	}
	switch t.status {
	case http.StatusOK:
		return t.sent == size
	case http.StatusPartialContent:
		var first, last, total int64
		n, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total)
		return n == 3 && err == nil && last == size-1 && t.sent == last-first+1
	}
	return false
}
