package bootagent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// Times of a download.
const (
	watchEvery    = 250 * time.Millisecond // how exactly the first piece is noticed
	progressEvery = 3 * time.Second        // a line on the console
	stalled       = 15 * time.Second       // without a piece, a download is said to be held up
)

// slack is what the tmpfs of an image holds beside it, in bytes.
const slack = 16 << 20

// fetch gets the image from the swarm and proves it. It does not end before it has it, unless it was the wrong one.
func (a *agent) fetch(ctx context.Context) (string, error) {
	if err := a.openImage(); err != nil {
		return "", err
	}
	d, err := a.image.begin(a.manifest)
	if err != nil {
		return "", err
	}
	a.timeline.notify() // the reporter asks for peers from now on
	begin := time.Now()
	if err := a.watch(ctx, d); err != nil {
		a.image.forget(d)
		return "", err
	}
	p := d.Progress()
	a.timeline.reach(fleet.PhaseImage, fmt.Sprintf("%s in %s, %s from controllers, %s from nodes", bytesText(p.Total),
		time.Since(begin).Round(100*time.Millisecond), bytesText(p.FromOrigin), bytesText(p.FromPeers)))
	if err := verify(ctx, a.image.file, a.manifest.Root); err != nil {
		a.image.forget(d)
		return "", err
	}
	if err := a.image.file.Chmod(0o400); err != nil {
		return "", err
	}
	return "SHA-256 " + a.manifest.Root.Digest.Short() + " of " + bytesText(p.Total), nil
}

// openImage makes room for the image, and opens the port for the swarm.
func (a *agent) openImage() error {
	if err := a.place.makeRoom(a.manifest.Root.Size); err != nil {
		return err
	}
	if a.image.client == nil {
		c, err := seeder.Open(seeder.Config{
			Listen:  netip.AddrPortFrom(a.place.address, a.manifest.Ports.Swarm),
			Origins: addressesOf(a.manifest.Controllers),
			Logger:  a.log,
		})
		if err != nil {
			return err
		}
		a.image.client = c
	}
	if a.image.file != nil {
		return a.image.file.Truncate(0)
	}
	f, err := a.place.create(a.manifest.Root.Digest)
	if err != nil {
		return err
	}
	a.image.file = f
	return nil
}

func addressesOf(controllers []fleet.Controller) []netip.Addr {
	var list []netip.Addr
	for _, c := range controllers {
		list = append(list, c.Address)
	}
	return list
}

// checkMemory says whether an image of that size fits.
func checkMemory(size int64) error {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return fmt.Errorf("ask how much RAM there is: %w", err)
	}
	total := int64(s.Totalram) * int64(s.Unit)
	if size+slack > total*9/10 {
		return fmt.Errorf("the image takes %s of RAM, and this machine has %s: give it a smaller image, or more RAM",
			bytesText(size), bytesText(total))
	}
	return nil
}

// begin starts the download into the file.
func (i *image) begin(m fleet.Manifest) (*seeder.Download, error) {
	d, err := i.client.Fetch(m.Torrent, m.Root, i.file)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.download = d
	return d, nil
}

// forget gives a download up, so that the next begins from nothing.
func (i *image) forget(d *seeder.Download) {
	i.mu.Lock()
	i.download = nil
	i.mu.Unlock()
	_ = i.client.Drop(d.Hash()) // it has been dropped already
}

func (i *image) current() *seeder.Download {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.download
}

// watch waits for a download, and says how it goes.
func (a *agent) watch(ctx context.Context, d *seeder.Download) error {
	finished := make(chan error, 1)
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { finished <- d.Wait(waiting) }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	m := meter{lastMove: time.Now(), lastLine: time.Now()}
	for {
		var err error
		ended := false
		select {
		case err = <-finished:
			ended = true
		case <-tick.C:
		}
		p := d.Progress()
		if !p.FirstPiece.IsZero() && !a.timeline.has(fleet.PhaseFirstByte) {
			a.timeline.reachAt(fleet.PhaseFirstByte, p.FirstPiece, "")
		}
		if ended {
			return err
		}
		line, held := m.observe(p, time.Now())
		if line != "" {
			a.log.Info(line)
		}
		if held {
			a.timeline.fail(line)
		} else if m.moved {
			a.timeline.fail("")
		}
	}
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
		return fmt.Sprintf("%s, nothing for %s: no controller or node that holds it can be reached", line, still.Round(time.Second)), true
	}
	return line, false
}

// verify reads the whole file and compares it with the digest that came over TLS.
func verify(ctx context.Context, file io.ReaderAt, want fleet.Blob) error {
	sum := sha256.New()
	r := io.NewSectionReader(file, 0, want.Size)
	buf := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("verify the image: %w", err)
		}
	}
	if got := fleet.Digest(sum.Sum(nil)); got != want.Digest {
		return fmt.Errorf("the image that arrived has SHA-256 %s, not %s: thrown away; the controllers' copy may be damaged (samara image show)",
			got.Short(), want.Digest.Short())
	}
	return nil
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}
