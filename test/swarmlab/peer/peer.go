// Package peer holds the programs that the swarm lab runs, each in a network namespace of its own: a node of Samara, one that
// does harm, a machine that is no node, BitTorrent clients of others, a stock client of the library that Samara uses, a
// client and a server of plain HTTP. They are told what to do by their command line, begin
// when they read a line from standard input, end when that closes, and say how far they are by lines of JSON on
// standard output.
package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Word is the first argument of a program that is to be a peer; the second is its Config as JSON.
const Word = "swarm-peer"

// A Role is what a peer is.
type Role string

// The roles. An origin has the image and gives it to the others.
const (
	Samara      Role = "samara"       // a node that takes part as a booted one does
	Stock       Role = "stock"        // a client of the BitTorrent library with its own settings
	StockOrigin Role = "stock-origin" // the same with the image
	HTTP        Role = "http"         // one GET
	HTTPOrigin  Role = "http-origin"
	Rogue       Role = "rogue"      // a node of Samara that does harm
	Stranger    Role = "stranger"   // no node of the cluster
	Aria2       Role = "aria2"      // the download utility of that name
	Libtorrent  Role = "libtorrent" // a client of that library
)

// roles are the programs.
var roles = map[Role]func(context.Context, Config, *teller) error{
	Samara:      runSamara,
	Stock:       runStock,
	StockOrigin: runStockOrigin,
	HTTP:        runHTTP,
	HTTPOrigin:  runHTTPOrigin,
	Rogue:       runRogue,
	Stranger:    runStranger,
	Aria2:       runAria2,
	Libtorrent:  runLibtorrent,
}

// A Config says what a peer does.
type Config struct {
	Role    Role             `json:"role"`
	Address netip.Addr       `json:"address"` // of its interface
	Dir     string           `json:"dir"`     // where its image lies, and nothing else
	Image   fleet.Blob       `json:"image"`
	Origins []netip.AddrPort `json:"origins"`           // the controllers' control ports, or the only origin; of Stranger: trackers
	Pin     string           `json:"pin,omitempty"`     // of Samara: SHA-256 of the authority's key
	Token   string           `json:"token,omitempty"`   // of Samara: from the boot script
	Others  []netip.AddrPort `json:"others,omitempty"`  // of Stock: the other nodes; of Stranger: whom it calls; of Rogue: strangers
	Torrent string           `json:"torrent,omitempty"` // a file: the info dictionary or, of Aria2 and Libtorrent, the whole .torrent
	Play    Play             `json:"play,omitempty"`    // of Rogue
	Blob    string           `json:"blob,omitempty"`    // of Rogue: a file with the image
}

// A Kind is what an Event tells.
type Kind string

// The kinds of events.
const (
	Ready    Kind = "ready"    // waits for its line
	Progress Kind = "progress" // holds some of the image
	Whole    Kind = "whole"    // holds all of it and has verified it, as far as its system does so before the image is used
	Proved   Kind = "proved"   // its bytes have the right SHA-256: the lab's own check, outside of what is measured
	Failed   Kind = "failed"   // gives up, because of Err
)

// An Event is a line that a peer writes. Counts are bytes of payload.
type Event struct {
	Kind        Kind      `json:"kind"`
	At          time.Time `json:"at"`
	Have        int64     `json:"have,omitempty"`
	FromOrigin  int64     `json:"from_origin,omitempty"`
	FromPeers   int64     `json:"from_peers,omitempty"`
	FromControl int64     `json:"from_control,omitempty"`
	Uploaded    int64     `json:"uploaded,omitempty"`
	Calls       int64     `json:"calls,omitempty"`   // of Stranger: that were put through
	Callers     int64     `json:"callers,omitempty"` // of Stranger
	Heard       int64     `json:"heard,omitempty"`   // of Stranger: bytes that came on its calls
	Err         string    `json:"err,omitempty"`
}

// Main is a program whose first argument is Word. It returns when standard input ends, or with an error.
func Main(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 || args[0] != Word {
		return fmt.Errorf("want %s and a configuration, not %q", Word, args)
	}
	var c Config
	if err := json.Unmarshal([]byte(args[1]), &c); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	run := roles[c.Role]
	if run == nil {
		return fmt.Errorf("configuration: no role %q", c.Role)
	}
	t := &teller{out: json.NewEncoder(out), begin: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		lines := bufio.NewReader(in)
		if _, err := lines.ReadString('\n'); err != nil {
			return
		}
		close(t.begin)
		_, _ = io.Copy(io.Discard, lines) // until it closes
	}()
	err := run(ctx, c, t)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("it left unasked")
	}
	t.tell(Event{Kind: Failed, Err: err.Error()})
	return fmt.Errorf("%s at %s: %w", c.Role, c.Address, err)
}

// A teller writes events, and knows when to begin.
type teller struct {
	mu    sync.Mutex
	out   *json.Encoder
	begin chan struct{}
}

func (t *teller) tell(e Event) {
	e.At = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Encode(e) // to one who is gone; then standard input ends too
}

// ready waits for the line. Its error is ctx's.
func (t *teller) ready(ctx context.Context) error {
	t.tell(Event{Kind: Ready})
	select {
	case <-t.begin:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// without returns addresses less one.
func without(list []netip.AddrPort, one netip.Addr) []netip.AddrPort {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.AddrPort) bool { return a.Addr() == one })
}

// Lines makes the lines of one peer into events, until they end. A line that is none is an error.
func Lines(in io.Reader, each func(Event)) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("a peer says %q: %w", strings.TrimSpace(lines.Text()), err)
		}
		each(e)
	}
	return lines.Err()
}
