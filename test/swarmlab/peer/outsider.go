package peer

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// OutsiderPort is where clients of others listen for peers.
const OutsiderPort = 6881

// rpcPort is where aria2 is asked how far it is, on the loopback of its own network.
const rpcPort = 6800

// outsiderEnds is how long a client of others may take to end.
const outsiderEnds = 5 * time.Second

//go:embed libtorrent.py
var libtorrentScript string

// An outsider is a BitTorrent client that is not ours: another program, that has the .torrent and finds the rest out by the
// tracker. It seeds once it has everything.
type outsider struct {
	cmd  *exec.Cmd
	look func(context.Context) (Event, error) // how far it is: Have and Uploaded
}

// runAria2 is aria2 with its own settings, but for what would leave this network.
func runAria2(ctx context.Context, c Config, say *teller) error {
	if err := say.ready(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "aria2c", "--no-conf", "--dir="+c.Dir, "--seed-ratio=0", "--enable-dht=false", "--enable-dht6=false",
		"--bt-enable-lpd=false", "--listen-port="+strconv.Itoa(OutsiderPort), "--interface="+c.Address.String(), "--no-proxy=*",
		"--follow-torrent=mem", "--summary-interval=0", "--file-allocation=none", "--disk-cache=0", "--enable-rpc",
		"--rpc-listen-port="+strconv.Itoa(rpcPort), "--stop-with-process="+strconv.Itoa(os.Getpid()), c.Torrent)
	cmd.Stdout = os.Stderr
	return outsider{cmd, lookAtAria2}.run(ctx, c, say)
}

// lookAtAria2 asks aria2 how far it is, by its JSON-RPC.
func lookAtAria2(ctx context.Context) (Event, error) {
	const question = `{"jsonrpc":"2.0","id":"1","method":"aria2.tellActive","params":[["completedLength","uploadLength"]]}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/jsonrpc", rpcPort), bytes.NewBufferString(question))
	if err != nil {
		return Event{}, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return Event{}, err
	}
	defer answer.Body.Close()
	var said struct {
		Result []struct {
			Completed int64 `json:"completedLength,string"`
			Uploaded  int64 `json:"uploadLength,string"`
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return Event{}, err
	}
	if len(said.Result) != 1 {
		return Event{}, fmt.Errorf("aria2 is about %d torrents", len(said.Result))
	}
	return Event{Have: said.Result[0].Completed, Uploaded: said.Result[0].Uploaded}, nil
}

// runLibtorrent is libtorrent-rasterbar, by Debian's Python, with its own settings, but for what would leave this network.
func runLibtorrent(ctx context.Context, c Config, say *teller) error {
	if err := say.ready(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-c", libtorrentScript, c.Torrent, c.Dir, fmt.Sprintf("%s:%d", c.Address, OutsiderPort))
	var latest atomic.Pointer[Event]
	in, err := cmd.StdinPipe() // which closes with this process, and ends the script
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	go func() { _ = Lines(out, func(e Event) { latest.Store(&e) }) }()
	return outsider{cmd, func(context.Context) (Event, error) {
		if e := latest.Load(); e != nil {
			return *e, nil
		}
		return Event{}, errors.New("it has said nothing yet")
	}}.run(ctx, c, say)
}

// run runs the program until ctx ends, and tells how far it is. Nothing is told before it answers.
func (o outsider) run(ctx context.Context, c Config, say *teller) error {
	o.cmd.Stderr, o.cmd.WaitDelay = os.Stderr, outsiderEnds
	if err := o.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- o.cmd.Wait() }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	whole := false
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("%s ended: %w", o.cmd.Path, err)
		case <-tick.C:
		}
		e, err := o.look(ctx)
		if err != nil {
			continue
		}
		e.Kind = Progress
		say.tell(e)
		if whole || e.Have < c.Image.Size {
			continue
		}
		whole = true
		e.Kind = Whole
		say.tell(e)
		if err := prove(c.Image, filepath.Join(c.Dir, c.Image.Digest.String())); err != nil {
			return err
		}
		say.tell(Event{Kind: Proved})
	}
}
