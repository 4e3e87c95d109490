package bootagent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
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
	late, err := a.take(ctx, d)
	if err != nil {
		a.image.forget(d)
		return "", err
	}
	if err := a.image.file.Chmod(0o400); err != nil {
		return "", err
	}
	return fmt.Sprintf("SHA-256 %s of %s, %s after the last piece", a.manifest.Root.Digest.Short(), bytesText(a.manifest.Root.Size),
		late.Round(time.Millisecond)), nil
}

// take waits for a download and its proof, and returns how far the proof came behind the last piece.
func (a *agent) take(ctx context.Context, d *seeder.Download) (late time.Duration, err error) {
	reading, stop := context.WithCancel(ctx)
	p := beginProof(d.Reader(reading), a.manifest.Root)
	defer func() {
		stop()
		<-p.done
	}()
	begin := time.Now()
	if err := a.watch(ctx, d); err != nil {
		return 0, err
	}
	now := d.Progress()
	detail := fmt.Sprintf("%s in %s, %s from controllers, %s from nodes", bytesText(now.Total),
		time.Since(begin).Round(100*time.Millisecond), bytesText(now.FromOrigin), bytesText(now.FromPeers))
	if now.FromControl > 0 {
		detail += fmt.Sprintf(", %s from controllers over TLS", bytesText(now.FromControl))
	}
	a.timeline.reach(fleet.PhaseImage, detail)
	return p.wait(ctx)
}

// openImage makes room for the image, and opens the port for the swarm.
func (a *agent) openImage() error {
	if err := a.place.makeRoom(a.manifest.Root.Size); err != nil {
		return err
	}
	if c, _ := a.image.swarm(); c == nil {
		c, err := seeder.Open(seeder.Config{
			Listen:  netip.AddrPortFrom(a.place.address, a.manifest.Ports.Swarm),
			Origins: addressesOf(a.manifest.Controllers),
			Allow:   a.roster.allows,
			Logger:  a.log,
		})
		if err != nil {
			return err
		}
		a.image.use(c)
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
	client, _ := i.swarm()
	d, err := client.Fetch(m.Torrent, m.Root, i.file)
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
	client := i.client
	i.download = nil
	i.mu.Unlock()
	_ = client.Drop(d.Hash()) // it has been dropped already
}

// offer takes note of whom a controller names for a download, and calls them.
func (i *image) offer(d *seeder.Download, peers, origin []netip.AddrPort) {
	i.mu.Lock()
	i.offered = slices.Concat(peers, origin)
	i.mu.Unlock()
	d.Keep(peers)
	d.AddPeers(peers)
	d.AddPeers(origin)
}

// offerAgain calls those who were named last.
func (i *image) offerAgain(d *seeder.Download) {
	i.mu.Lock()
	offered := i.offered
	i.mu.Unlock()
	d.AddPeers(offered)
}

// use makes c the node's place in the swarm.
func (i *image) use(c *seeder.Client) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.client = c
}

// swarm returns the node's place in the swarm and its download; nil for what has not begun.
func (i *image) swarm() (*seeder.Client, *seeder.Download) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.client, i.download
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
