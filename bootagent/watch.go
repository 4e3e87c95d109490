package bootagent

import (
	"context"
	"fmt"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// Times of a download.
const (
	watchEvery    = 250 * time.Millisecond // how exactly the first piece is noticed
	progressEvery = 3 * time.Second        // a line on the console
	stalled       = 15 * time.Second       // without a piece, a download is said to be held up
)

// watch waits for a download, climbs the ladder for it, and says how it goes.
func (a *agent) watch(ctx context.Context, d *seeder.Download) error {
	ctx, cancel := context.WithCancel(ctx)
	r, err := a.newRelief()
	if err != nil {
		cancel()
		return err
	}
	relieved := make(chan struct{})
	go func() { defer close(relieved); r.run(ctx, d) }()
	finished := make(chan error, 1)
	go func() { finished <- d.Wait(ctx) }()
	defer func() {
		cancel()
		<-relieved
	}()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := watcher{agent: a, download: d, relief: r, ladder: newLadder(time.Now()), meter: meter{lastMove: time.Now(), lastLine: time.Now()}}
	for {
		select {
		case err := <-finished:
			w.noteFirst(d.Progress())
			return err
		case <-tick.C:
			w.look(d.Progress(), time.Now())
		}
	}
}

// newRelief prepares the last resort of the image's download.
func (a *agent) newRelief() (*relief, error) {
	info, err := seeder.ParseInfo(a.manifest.Torrent)
	if err != nil {
		return nil, err
	}
	return newRelief(a.log, a.session, a.manifest.Root.Digest, info.PieceLength), nil
}

// A watcher follows one download.
type watcher struct {
	*agent
	download *seeder.Download
	relief   *relief
	ladder   ladder
	meter    meter
	helping  bool // the relief was told to fetch
}

// noteFirst notes when the first piece came.
func (w *watcher) noteFirst(p seeder.Progress) {
	if !p.FirstPiece.IsZero() && !w.timeline.has(fleet.PhaseFirstByte) {
		w.timeline.reachAt(fleet.PhaseFirstByte, p.FirstPiece, "")
	}
}

// look does what the ladder says, and writes a line if one is due.
func (w *watcher) look(p seeder.Progress, now time.Time) {
	w.noteFirst(p)
	hangUp, relief := w.ladder.climb(p, now)
	if hangUp {
		w.download.HangUp()
		w.image.offerAgain(w.download)
		w.timeline.notify() // controllers may know better by now
	}
	if relief != w.helping {
		w.helping = relief
		w.relief.need(relief)
		if relief && p.FromControl == 0 {
			w.log.Warn("the swarm gives nothing; fetching from controllers over TLS")
		}
	}
	line, held := w.meter.observe(p, now)
	if held {
		line += ": " + heldBy(p, w.relief.failure())
	}
	if line != "" {
		w.log.Info(line)
	}
	switch {
	case held:
		w.timeline.fail(line)
	case w.meter.moved:
		w.timeline.fail("")
	}
}

// heldBy says why a download stands still, and what can be done.
func heldBy(p seeder.Progress, control string) string {
	text := "no node or controller of the swarm can be reached"
	if p.Peers > 0 {
		text = fmt.Sprintf("none of %d peers sends what is lacking", p.Peers)
	}
	if control != "" {
		text += "; over TLS, " + control
	}
	return text + "; see samara image swarm and samara controller list, and that nothing between them and this node closes the swarm's port"
}

// A meter makes lines about a download.
type meter struct {
	have, lineHave     int64
	lastMove, lastLine time.Time
	moved              bool // since the observation before
}

// observe returns a line when one is due, and whether the download is held up. held only comes with a line.
func (m *meter) observe(p seeder.Progress, now time.Time) (line string, held bool) {
	m.moved = p.Have > m.have
	if m.moved {
		m.have, m.lastMove = p.Have, now
	}
	since := now.Sub(m.lastLine)
	if since < progressEvery {
		return "", false
	}
	rate := float64(p.Have-m.lineHave) / since.Seconds()
	m.lineHave, m.lastLine = p.Have, now
	line = fmt.Sprintf("image: %d %% of %s, from controllers %s, from nodes %s", p.Have*100/max(p.Total, 1), bytesText(p.Total),
		bytesText(p.FromOrigin), bytesText(p.FromPeers))
	if rate > 0 {
		left := time.Duration(float64(p.Total-p.Have) / rate * float64(time.Second))
		return fmt.Sprintf("%s, %s/s, %s left", line, bytesText(int64(rate)), left.Round(time.Second)), false
	}
	if still := now.Sub(m.lastMove); still >= stalled {
		return fmt.Sprintf("%s, nothing for %s", line, still.Round(time.Second)), true
	}
	return line, false
}
