package api

import (
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// afterParam is the query parameter with the revision or the mark after which to tell.
const afterParam = "after"

// A WatchLine is one line of a watch: all that changed since the line before. A line without changes says that the
// controller lives.
type WatchLine struct {
	Revision fleet.Revision `json:"revision"` // of the state that the changes lead to
	Changed  []Difference   `json:"changed"`
	Error    *errorBody     `json:"error,omitempty"` // why this is the last line
}

// Bounds on watches.
const (
	maxWatchers    = 64               // at a time
	watchHeartbeat = 10 * time.Second // a line comes even if nothing changed
)
