package seeder

// Bounds of what is asked of clients that are not ours.
const (
	// partLength is the longest request that every client answers, in bytes: libtorrent and others take no longer one.
	partLength = 16 << 10
	// maxParts bounds the parts that a peer has not answered. It is asked for an eighth of that at once; the others were
	// cancelled.
	maxParts = 1024
)

// A request is what a peer is asked for: so many bytes from an offset of a piece on.
type request struct{ index, begin, length uint32 }

// A place is where a part begins.
type place struct{ index, begin uint32 }

// A whole is a request of the library, which its peer is asked for in parts.
type whole struct {
	request
	open    int    // parts that are not answered
	message []byte // the PIECE that answers it, as far as its parts have come; nil before the first
	void    bool   // it is answered by a REJECT
}

// Parts are the requests to a peer that is not ours, each in parts of partLength at most. A request is answered once, when
// all its parts are: by its bytes, or by a rejection if it was cancelled or any part was rejected. Not before that, since
// the library may then ask for the same again, and clients hang up on who asks for a part that they still have to send.
// Parts know no connection, and are used under a lock.
type parts struct {
	fast   bool // both sides know BEP 6
	acks   bool // what was cancelled is answered all the same, as BEP 6 says
	open   map[place]*whole
	owed   int  // parts that were asked for, less those that were answered
	choked bool // a peer without BEP 6 has said that it forgets what it was asked
}

func newParts(fast, acks bool) *parts {
	return &parts{fast: fast, acks: fast && acks, open: map[place]*whole{}, choked: true}
}

// each calls do with the parts of a request, in order.
func (r request) each(do func(place, request)) {
	for begin, end := r.begin, r.begin+r.length; begin < end; begin += min(partLength, end-begin) {
		do(place{r.index, begin}, request{r.index, begin, min(partLength, end-begin)})
	}
}

// ask returns the parts of a request of the library's.
func (p *parts) ask(r request) ([]request, error) {
	if r.length == 0 || r.length > maxRequest || r.begin+r.length < r.begin {
		return nil, malformed("a request for %d bytes from %d on", r.length, r.begin)
	}
	r.each(func(at place, _ request) { p.forget(p.open[at]) })
	w := &whole{request: r}
	var asked []request
	r.each(func(at place, part request) {
		p.open[at] = w
		asked = append(asked, part)
	})
	w.open = len(asked)
	p.owed += len(asked)
	if len(p.open) > maxParts {
		return nil, malformed("%d requests are not answered", len(p.open))
	}
	return asked, nil
}

// cancel returns the parts that need not come any more, since the library has cancelled a request.
func (p *parts) cancel(r request) []request {
	var cancelled []request
	var w *whole
	r.each(func(at place, part request) {
		if open := p.open[at]; open != nil && open.request == r {
			w = open
			cancelled = append(cancelled, part)
		}
	})
	switch {
	case w == nil:
	case p.acks:
		w.refuse()
	default:
		p.forget(w)
	}
	return cancelled
}

// refuse drops the bytes of a request.
func (w *whole) refuse() { w.void, w.message = true, nil }

// forget drops a request, which may be nil, and what may still come of it.
func (p *parts) forget(w *whole) {
	if w == nil {
		return
	}
	w.refuse()
	w.each(func(at place, _ request) {
		if p.open[at] == w {
			delete(p.open, at)
		}
	})
}

// answered takes note of an answer to a part, and returns the request that it belongs to, or nil if that is of no interest
// any more. The error is errMalformed if it is longer or shorter than what was asked for, or if nothing was asked.
func (p *parts) answered(part request) (*whole, error) {
	w := p.open[place{part.index, part.begin}]
	if p.owed == 0 || w == nil && p.acks { // in which case nothing is forgotten
		return nil, malformed("an answer that nobody waits for, about %d bytes from %d on of piece %d", part.length, part.begin, part.index)
	}
	p.owed--
	if w == nil {
		return nil, nil
	}
	if want := min(partLength, w.begin+w.length-part.begin); part.length != want {
		return nil, malformed("an answer about %d bytes to a request for %d", part.length, want)
	}
	return w, nil
}

// room returns where the bytes of a part of w, which may be nil, belong, or nil if they do not matter. It may be written
// until filled is called.
func (w *whole) room(part request) []byte {
	if w == nil || w.void {
		return nil
	}
	if w.message == nil {
		w.message = appendPieceHeader(make([]byte, 0, pieceHeader+w.length), w.index, w.begin, w.length)[:pieceHeader+w.length]
	}
	from := pieceHeader + part.begin - w.begin
	return w.message[from : from+part.length]
}

// filled takes note that the bytes of a part of w, which may be nil, have come. It returns what the library is told.
func (p *parts) filled(w *whole, part request) []byte {
	at := place{part.index, part.begin}
	if w == nil || p.open[at] != w { // it was forgotten meanwhile
		return nil
	}
	delete(p.open, at)
	w.open--
	switch {
	case w.open > 0:
		return nil
	case w.void:
		return appendMessage(nil, msgReject, w.index, w.begin, w.length)
	default:
		return w.message
	}
}

// rejected takes note that a part of w, which may be nil, will not come. It returns what the library is told.
func (p *parts) rejected(w *whole, part request) []byte {
	if w != nil {
		w.refuse()
	}
	return p.filled(w, part)
}

// choke takes note that the peer answers nothing, or does so again. Without BEP 6 it thereby forgets what it was asked; so
// it does what was asked before the library has heard of it.
func (p *parts) choke(choked bool) {
	if !p.fast && (choked || p.choked) {
		clear(p.open)
	}
	p.choked = choked
}
