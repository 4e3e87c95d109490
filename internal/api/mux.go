package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// RevisionHeader holds, in every answer, the revision of the state that it was given from; after a change, of one that
// has the change.
const RevisionHeader = "Samara-Revision"

// requestTimeout bounds a request but an import, from its header to the last byte of the answer.
const requestTimeout = 30 * time.Second

// A route is an endpoint and what answers it.
type route struct {
	method, pattern   string
	allow             permission
	limit             int64
	reads             reading
	changes           bool
	dry               bool // it takes dryRunParam
	query             []string
	doc               string
	request, response reflect.Type
	serve             func(w http.ResponseWriter, r *request) error
}

// needs returns who may use a route: a dry run only tells.
func (on route) needs(dry bool) permission {
	if dry && on.dry && on.allow.forPeople() {
		return viewers
	}
	return on.allow
}

// A request is one that was admitted.
type request struct {
	*http.Request
	caller
	dry      bool           // only say what would change: the caller may no more, perhaps
	strict   bool           // refuse fields that this release does not know
	state    fleet.State    // what the request is answered from
	revision fleet.Revision // for RevisionHeader
	id       string         // of a change
	// What a handler says of its answer. An answer from a chosen state is about that state, if the handler says nothing.
	about fleet.Condition // met as long as what is told has not changed; of no kind: nothing is said
	next  string          // where the list goes on; "" at its end
}

// on answers an endpoint with h.
func on[Req, Res any](e endpoint[Req, Res], h func(context.Context, *request, Req) (Res, error)) route {
	return handle(e, func(w http.ResponseWriter, r *request) error {
		return within(w, r, func(ctx context.Context) (any, error) {
			var body Req
			if reflect.TypeFor[Req]() != reflect.TypeFor[none]() {
				if err := decode(r, &body); err != nil {
					return nil, err
				}
			}
			return h(ctx, r, body)
		})
	})
}

// within answers r with what h returns, in requestTimeout.
func within(w http.ResponseWriter, r *request, h func(context.Context) (any, error)) error {
	now := time.Now()
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(now.Add(requestTimeout)), c.SetWriteDeadline(now.Add(2*requestTimeout))); err != nil {
		return fmt.Errorf("set deadlines: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	answer, err := h(ctx)
	if err != nil {
		return err
	}
	return writeAnswer(w, answer)
}

// handle answers an endpoint with serve, which keeps its own deadlines.
func handle[Req, Res any](e endpoint[Req, Res], serve func(http.ResponseWriter, *request) error) route {
	limit := e.limit
	if limit == 0 {
		limit = maxBody
	}
	return route{
		method: e.method, pattern: e.pattern, allow: e.allow, limit: limit, reads: e.reads, query: e.query, doc: e.doc,
		changes: e.changes, dry: e.changes || slices.Contains(e.query, dryRunParam),
		request: reflect.TypeFor[Req](), response: reflect.TypeFor[Res](),
		serve: serve,
	}
}

// routes returns the table with what answers each row.
func (s *Server) routes() []route {
	return []route{
		on(getStatus, s.status),
		on(getCluster, s.cluster),
		on(setCluster, s.setCluster),
		on(listNodes, s.listNodes),
		on(getNode, s.node),
		on(listBoots, s.boots),
		on(nodeWhy, s.why),
		on(listWhy, s.listWhy),
		on(explainNode, s.explain),
		on(addNodes, s.addNodes),
		on(setNodes, s.setNodes),
		on(deleteNodes, s.deleteNodes),
		on(discoverNodes, s.discoverNodes),
		on(listUnknown, s.unknown),
		on(listProfiles, s.listProfiles),
		on(getProfile, s.profile),
		on(listImages, s.listImages),
		on(getImage, s.image),
		on(getTorrent, s.torrent),
		on(getSwarm, s.swarm),
		handle(importImage, s.importImage),
		on(deleteImage, s.deleteImage),
		on(listNetworks, s.listNetworks),
		on(getNetwork, s.oneNetwork),
		on(addNetwork, s.addNetwork),
		on(setNetwork, s.setNetwork),
		on(deleteNetwork, s.deleteNetwork),
		on(getConfiguration, s.configuration),
		handle(editConfiguration, s.edit),
		on(listHistory, s.history),
		on(compareRevisions, s.compare),
		on(rollbackTo, s.rollback),
		handle(getWatch, s.watch),
		on(getMetrics, s.metrics),
		handle(getBackup, s.backup),
		on(listControllers, s.listControllers),
		on(addToken, s.addToken),
		on(joinController, s.join),
		on(transferLeadership, s.transfer),
		on(removeController, s.removeController),
		on(listUsers, s.listUsers),
		on(addUser, s.addUser),
		on(deleteUser, s.deleteUser),
		on(getOpenAPI, s.openAPI),
		on(peerHello, s.hello),
		handle(peerPropose, s.peerPropose),
		on(peerRead, s.peerRead),
		on(peerTransfer, s.peerTransfer),
		on(peerObserved, s.observed),
		handle(peerPull, s.pull),
		handle(peerBlob, s.peerBlob),
		on(agentEnroll, s.enroll),
		on(agentRenew, s.renew),
		on(agentReport, s.report),
		handle(agentBlob, s.sendRange),
	}
}

// mux builds the handler. What is not in the table is refused like a route for people, so that strangers do not learn
// which paths exist.
func (s *Server) mux() http.Handler {
	m := http.NewServeMux()
	for _, r := range s.routes() {
		m.Handle(r.method+" "+r.pattern, s.guard(r))
	}
	m.Handle("/", s.guard(route{allow: viewers, limit: maxBody, serve: func(_ http.ResponseWriter, r *request) error {
		return fmt.Errorf("%w: %s %s", ErrRoute, r.Method, r.URL.Path)
	}}))
	return m
}

// guard admits callers to a route, bounds the body, and answers errors.
func (s *Server) guard(on route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		state := s.Store.State()
		h := w.Header()
		h.Set(RevisionHeader, header(state.Revision()))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if on.limit > 0 {
			in.Body = http.MaxBytesReader(w, in.Body, on.limit)
		}
		r := &request{Request: in, strict: on.allow.forPeople(), state: state, revision: state.Revision()}
		err := s.prepare(r, on)
		if err == nil {
			err = on.serve(&stamped{w, r}, r)
		}
		if err != nil {
			s.fail(w, in, on, err)
		}
	})
}

// prepare finds out who sends r, whether they may, what r is called and what it is to be answered from.
func (s *Server) prepare(r *request, on route) (err error) {
	if err := s.recognise(r); err != nil {
		return err
	}
	var flagErr error
	r.dry, flagErr = flagOf(r.Request, dryRunParam)
	switch err := s.admit(r.caller, on, r.dry, r.Request); {
	case err != nil:
		return err
	case flagErr != nil:
		return flagErr
	case r.dry && !on.dry:
		return fmt.Errorf("%w request: %s %s takes no %s", fleet.ErrInvalid, r.Method, on.pattern, dryRunParam)
	}
	if r.Method != http.MethodGet {
		r.id = r.Header.Get(RequestHeader)
		if r.id == "" {
			r.id = NewRequestID()
		}
		if err := checkRequestID(r.id); err != nil {
			return err
		}
		r.Request = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, r.id))
	}
	if !on.changes && r.Header.Get(ifMatchHeader) != "" {
		return fmt.Errorf("%w request: %s %s takes no %s", fleet.ErrInvalid, r.Method, on.pattern, ifMatchHeader)
	}
	if on.reads != chosen {
		return nil
	}
	if err := s.see(r); err != nil {
		return err
	}
	if _, err := s.callerOf(r.Request, r.state); err != nil { // what is read may be newer than what the caller was known by
		return err
	}
	r.about = IfRevision(r.revision)
	return nil
}

// see reads the state that r asks to be answered from.
func (s *Server) see(r *request) error {
	c, err := consistencyOf(r.Request)
	if err != nil || c == Stale {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	state, err := s.Store.Read(ctx, c)
	if err != nil {
		return fmt.Errorf("%w; nodes still boot, and --stale shows what this controller knew last", err)
	}
	r.state, r.revision = state, state.Revision()
	return nil
}

// stamped puts the request's revision into the answer as late as can be: a change has it then.
type stamped struct {
	http.ResponseWriter
	r *request
}

func (w *stamped) WriteHeader(status int) {
	h := w.Header()
	h.Set(RevisionHeader, header(w.r.revision))
	if status == http.StatusOK && w.r.about.Kind != "" {
		h.Set("ETag", tagOf(w.r.about))
	}
	if w.r.next != "" {
		h.Set("Link", "<"+w.r.next+`>; rel="next"`)
	}
	w.ResponseWriter.WriteHeader(status)
}

// header returns the form of a revision in a header or a query.
func header(r fleet.Revision) string { return strconv.FormatUint(uint64(r), 10) }

// Unwrap lets http.ResponseController reach the connection.
func (w *stamped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers with an error. Strangers are not told what is wrong with the controller itself: that is logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, on route, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil && !errors.Is(err, ErrUncertain) {
		// Either the client went away and reads nothing, or this server ends, and an answer of no words is a success.
		err = fmt.Errorf("%w: this controller ends", ErrUnavailable)
	}
	c := codeOf(err)
	if c.err == fleet.ErrConflict && r.Header.Get(ifMatchHeader) != "" {
		c.status = http.StatusPreconditionFailed // RFC 9110, 13.1.1
	}
	text := err.Error()
	if c.err == ErrInternal && on.allow == anyone {
		s.Logger.Error("request failed", "path", r.URL.Path, "from", r.RemoteAddr, "err", err)
		text = ErrInternal.Error()
	}
	if c.err == ErrBusy && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	if c.status == http.StatusUnauthorized {
		w.Header().Set("Connection", "close") // the certificate belongs to the connection: a better one needs another
	}
	body, marshalErr := json.Marshal(errorBody{Code: c.name, Text: text})
	if marshalErr != nil {
		return // two strings always encode
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(c.status)
	_, _ = w.Write(append(body, '\n')) // a client that went away is told nothing
}

const (
	jsonType    = "application/json"
	octetType   = "application/octet-stream"
	tarType     = "application/x-tar"
	linesType   = "application/x-ndjson"
	eventsType  = "text/event-stream" // server-sent events
	torrentType = "application/x-bittorrent"
	metricsType = "text/plain; version=0.0.4; charset=utf-8" // Prometheus' text format
)

// decode reads r's body, one JSON value, into to. Its error wraps ErrTooLarge or fleet.ErrInvalid.
func decode(r *request, to any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.strict && (err != nil || kind != jsonType) {
		return fmt.Errorf("%w request: its Content-Type is %q, want %s", fleet.ErrInvalid, r.Header.Get("Content-Type"), jsonType)
	}
	d := json.NewDecoder(r.Body)
	if r.strict {
		d.DisallowUnknownFields()
	}
	err := d.Decode(to)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("more than one JSON value")
		}
	}
	if fleet.IsRefusal(err) {
		return err
	}
	return badBody(err)
}

// badBody says why a body could not be read.
func badBody(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return fmt.Errorf("%w: at most %d bytes", ErrTooLarge, tooLarge.Limit)
	}
	return fmt.Errorf("%w request: %w", fleet.ErrInvalid, err)
}

// writeAnswer sends a success.
func writeAnswer(w http.ResponseWriter, answer any) error {
	kind, body := jsonType, []byte(nil)
	switch a := answer.(type) {
	case torrentFile:
		kind, body = torrentType, a
	case exposition:
		kind, body = metricsType, a
	default:
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(answer); err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		body = b.Bytes()
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that went away does not read it
	return nil
}
