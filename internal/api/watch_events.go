package api

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A watch in server-sent events (HTML Standard, 9.2) tells the same as one in lines: each line is the data of an event
// whose id is the revision that it leads to, so that who reconnects goes on where it was.

// lastEventHeader holds the id of the last event that a client saw, when it reconnects.
const lastEventHeader = "Last-Event-ID"

// A watchWriter sends the lines of a watch, as events if that is asked for.
type watchWriter struct {
	*lineWriter
	events bool
}

// beginWatch begins the answer to a watch.
func beginWatch(w http.ResponseWriter, r *request, lost func()) (watchWriter, error) {
	events := wantsEvents(r.Header.Values("Accept"))
	kind := linesType
	if events {
		kind = eventsType
	}
	lines, err := beginStream(w, kind, lost)
	return watchWriter{lines, events}, err
}

// wantsEvents reports whether an Accept header names server-sent events. Lines are what others get.
func wantsEvents(accept []string) bool {
	for _, value := range accept {
		for word := range strings.SplitSeq(value, ",") {
			if kind, _, err := mime.ParseMediaType(word); err == nil && kind == eventsType {
				return true
			}
		}
	}
	return false
}

// tell sends a line.
func (w watchWriter) tell(line WatchLine) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	w.tellLine(line.Revision, append(b, '\n'))
	return nil
}

// tellLine sends a line that is JSON with its end and leads to a revision.
func (w watchWriter) tellLine(rev fleet.Revision, line []byte) {
	if w.events {
		line = fmt.Appendf(nil, "id: %d\ndata: %s\n", rev, line) // the line's own end, and an empty one
	}
	w.writeLine(line)
}
