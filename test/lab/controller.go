package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// The controller's name, and the discovery pool of its network.
const (
	controllerID = "head1"
	discovery    = "10.77.0.200-10.77.0.220"
)

// A Controller is a controller of the product, run and asked through its command line.
type Controller struct {
	Network *Network
	Binary  string // path of samara
	Dir     string // what the controller keeps
	Socket  string // where it listens for its own machine's root; at most 107 bytes
	Log     string // the file that it logs to
	proc    *Process
}

// Init makes the controller's directory, for a cluster and a network of that name and with an ssh key that every node
// accepts for root.
func (c *Controller) Init(ctx context.Context, name, publicKey string) error {
	_, err := c.Run(ctx, "init", "--dir", c.Dir, "--name", name, "--id", controllerID, "--address", ControllerAddress.String(),
		"--network", name, "--subnet", Subnet.String(), "--discovery", discovery, "--ssh-key", publicKey)
	return err
}

// Serve starts the controller in the background and returns once it takes changes.
func (c *Controller) Serve(ctx context.Context) error {
	cmd := c.Network.Command(c.Binary, "serve", "--dir", c.Dir, "--socket", c.Socket, "--interface", Bridge)
	p, err := StartProcess("samara serve", c.Log, cmd)
	if err != nil {
		return err
	}
	c.proc = p
	var last error
	err = poll(ctx, 200*time.Millisecond, func() (bool, error) {
		var status api.Status
		if last = c.Ask(ctx, &status, "status"); last == nil {
			return status.Quorum, nil
		}
		return false, p.Ended()
	})
	if err != nil && last != nil && p.Ended() == nil {
		err = fmt.Errorf("samara serve is not ready: %w; samara status: %w; the end of %s:\n%s", err, last, c.Log, tail(c.Log, 15))
	}
	return err
}

// Process returns the running controller, nil before Serve.
func (c *Controller) Process() *Process { return c.proc }

// Command returns the command that runs samara with args against this controller, inside the network.
func (c *Controller) Command(args ...string) *exec.Cmd {
	return c.Network.Command(c.Binary, append(slices.Clone(args), "--socket", c.Socket)...)
}

// Run runs samara with args and returns its results. The error has what it said on stderr.
func (c *Controller) Run(ctx context.Context, args ...string) (string, error) {
	return c.Network.Output(ctx, c.Binary, append(slices.Clone(args), "--socket", c.Socket)...)
}

// Ask runs samara with args and decodes its result into answer.
func (c *Controller) Ask(ctx context.Context, answer any, args ...string) error {
	out, err := c.Run(ctx, append(slices.Clone(args), "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		return fmt.Errorf("samara %v: %w in %q", args, err, out)
	}
	return nil
}

// AddNode adds a node that boots image with its console on the serial line.
func (c *Controller) AddNode(ctx context.Context, m Machine, ip netip.Addr, image string) error {
	_, err := c.Run(ctx, "node", "add", m.Name, "--mac", m.MAC.String(), "--ip", ip.String(), "--image", image, "--kernel-arg", "console=ttyS0")
	return err
}

// Boot returns the newest boot of a node; false if the controller has seen none.
func (c *Controller) Boot(ctx context.Context, node string) (fleet.Boot, bool, error) {
	var boots []fleet.Boot
	if err := c.Ask(ctx, &boots, "node", "timeline", node); err != nil || len(boots) == 0 {
		return fleet.Boot{}, false, err
	}
	return boots[0], true, nil
}

// WaitBoot waits until the newest boot of a node is as wanted, asking several times a second.
func (c *Controller) WaitBoot(ctx context.Context, node string, wanted func(fleet.Boot) bool) (fleet.Boot, error) {
	var boot fleet.Boot
	var last error
	err := poll(ctx, 200*time.Millisecond, func() (bool, error) {
		var seen bool
		boot, seen, last = c.Boot(ctx, node)
		return last == nil && seen && wanted(boot), nil
	})
	if err != nil {
		b, _ := json.Marshal(boot)
		return boot, fmt.Errorf("boot of %s: %w; it stands at %s", node, errors.Join(err, last), b)
	}
	return boot, nil
}

// Image returns the newest version of an image.
func (c *Controller) Image(ctx context.Context, name string) (fleet.ImageVersion, error) {
	var image fleet.Image
	if err := c.Ask(ctx, &image, "image", "show", name); err != nil {
		return fleet.ImageVersion{}, err
	}
	if len(image.Versions) == 0 {
		return fleet.ImageVersion{}, fmt.Errorf("samara image show %s: no version", name)
	}
	return image.Latest(), nil
}

// BlobPath returns the file in which the controller keeps a blob.
func (c *Controller) BlobPath(b fleet.Blob) string {
	return filepath.Join(c.Dir, "blobs", b.Digest.String())
}

// OriginBytes returns how much of images the controller has uploaded since it started.
func (c *Controller) OriginBytes(ctx context.Context) (int64, error) {
	var s api.Status
	err := c.Ask(ctx, &s, "status")
	return s.Seeding.OriginBytes, err
}

// LogSays reports whether the controller's log has a line that holds all of words.
func (c *Controller) LogSays(words ...string) (bool, error) {
	b, err := os.ReadFile(c.Log)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true, nil
		}
	}
	return false, nil
}
