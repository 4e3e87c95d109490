package seeder

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Bounds of a tracker's query and answer.
const (
	maxQuery       = 2048 // bytes
	defaultNumWant = 30
	maxNumWant     = 50
)

// An announce is what a BitTorrent client tells a tracker (BEP 3, BEP 23).
type announce struct {
	hash      Hash
	peerID    [20]byte
	port      uint16
	left      int64 // bytes that the client still wants; 0 for a seed
	numWant   int
	event     string // "", "started", "completed" or "stopped"
	compact   bool
	noPeerIDs bool
}

// parseAnnounce reads the raw query of an announce. Keys that it does not know are ignored, as is the ip key: a tracker
// that believed it would send peers to a third party's door.
func parseAnnounce(query string) (announce, error) {
	a := announce{left: -1, numWant: defaultNumWant, compact: true}
	if len(query) > maxQuery {
		return a, fmt.Errorf("the query has %d bytes: at most %d are allowed", len(query), maxQuery)
	}
	var seen struct{ hash, id, port bool }
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, raw, _ := strings.Cut(pair, "=")
		// Not QueryUnescape: clients escape single bytes and mean a plus sign by a plus sign.
		value, err := url.PathUnescape(raw)
		if err != nil {
			return a, fmt.Errorf("%q is badly escaped", raw)
		}
		switch key {
		case "info_hash":
			if seen.hash {
				return a, errors.New("only one info_hash can be announced at a time")
			}
			seen.hash = len(value) == copy(a.hash[:], value) && len(value) == len(a.hash)
		case "peer_id":
			seen.id = len(value) == copy(a.peerID[:], value) && len(value) == len(a.peerID)
		case "port":
			var n uint64
			n, err = strconv.ParseUint(value, 10, 16)
			a.port, seen.port = uint16(n), err == nil && n > 0
		case "left":
			a.left, err = strconv.ParseInt(value, 10, 64)
		case "numwant":
			a.numWant, err = strconv.Atoi(value)
			if err == nil && a.numWant < 0 { // libtorrent asks for -1 to mean "as you like"
				a.numWant = defaultNumWant
			}
		case "event":
			a.event = value
		case "compact":
			a.compact = value != "0"
		case "no_peer_id":
			a.noPeerIDs = value == "1"
		}
		if err != nil {
			return a, fmt.Errorf("%s is not a number in its range: %q", key, value)
		}
	}
	a.numWant = min(a.numWant, maxNumWant)
	switch {
	case !seen.hash:
		return a, errors.New("info_hash must be 20 bytes")
	case !seen.id:
		return a, errors.New("peer_id must be 20 bytes")
	case !seen.port:
		return a, errors.New("port must be between 1 and 65535")
	}
	switch a.event {
	case "started", "completed", "stopped":
	default: // BEP 3: an empty event is no event; others exist, such as BEP 21's "paused"
		a.event = ""
	}
	return a, nil
}
