package linear

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/test/lab"
)

// diskSize is what a controller has: enough for hours, little enough to be filled at once.
const diskSize = 48 << 20

// A cluster is a number of controllers and what is done to them. Its methods may be called from any goroutine.
type cluster struct {
	*lab.Cluster
	dir    string
	heads  []*head
	struck atomic.Int64 // faults so far
}

// A head is one controller and its machine.
type head struct {
	*lab.Controller
	disk *lab.Disk

	mu   sync.Mutex
	down bool // it is not meant to run
}

// newCluster brings up a cluster of which all controllers vote.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	samara, err := product()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: os.Getenv(dirVar)}
	network := &lab.Network{Namespace: lab.Namespace{Name: os.Getenv(networkVar)}}
	if c.Cluster, err = network.AddCluster(controllers, samara, c.dir); err != nil {
		t.Fatal(err)
	}
	for _, one := range c.Controllers {
		h := &head{Controller: one}
		if h.disk, err = network.AddDisk(h.Dir, diskSize); err != nil {
			t.Fatal(err)
		}
		h.Dir = filepath.Join(h.disk.Dir, "samara")
		c.heads = append(c.heads, h)
	}
	t.Cleanup(func() {
		for _, h := range c.heads {
			h.kill()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := c.Form(ctx, "linear", ""); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts a controller that is down.
func (h *head) start() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.Start(); err != nil {
		return err
	}
	h.down = false
	return nil
}

// serve starts a controller that is down, and waits until it takes changes.
func (h *head) serve(ctx context.Context) error {
	if err := h.start(); err != nil {
		return err
	}
	return h.WaitStatus(ctx, func(s api.Status) bool { return s.Quorum })
}

// expectDown says that the controller is going to end, and returns its process.
func (h *head) expectDown() *lab.Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = true
	return h.Process()
}

// kill ends a controller as a power failure does.
func (h *head) kill() {
	if p := h.expectDown(); p != nil {
		p.Kill()
	}
}

// ended returns an error if a controller that is meant to run has ended.
func (h *head) ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return nil
	}
	return h.Process().Ended()
}

// guard returns an error once a controller ends that was not told to.
func (c *cluster) guard(ctx context.Context) error {
	return ignoreEnd(ctx, poll(ctx, time.Second, func() (bool, error) {
		for _, h := range c.heads {
			if err := h.ended(); err != nil {
				return false, fmt.Errorf("unasked: %w", err)
			}
		}
		return false, nil
	}))
}

// client returns a client of all controllers that begins with the one of that number.
func (c *cluster) client(first int) (*api.Client, error) {
	dir := filepath.Join(c.heads[0].Dir, "admin")
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pin, err := identity.Pin(ca)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "admin.crt"), filepath.Join(dir, "admin.key"))
	if err != nil {
		return nil, err
	}
	var addresses []string
	for i := range c.heads {
		at := c.heads[(first+i)%len(c.heads)].Host.Address
		addresses = append(addresses, netip.AddrPortFrom(at, fleet.DefaultPorts.Control).String())
	}
	return api.NewClient(addresses, pin, func() (*tls.Certificate, error) { return &pair, nil }), nil
}

// poll calls ready every interval until it returns true or an error, or ctx ends.
func poll(ctx context.Context, interval time.Duration, ready func() (bool, error)) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// ignoreEnd returns err unless it only says that ctx ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
