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

// discovery is the pool of the lab's network for unknown machines.
const discovery = "10.77.0.200-10.77.0.220"

// A Controller is a controller of the product, run and asked through its command line.
type Controller struct {
	Host   *Host
	Binary string   // path of samara
	Dir    string   // what the controller keeps
	Socket string   // where it listens for its own machine's root; at most 107 bytes
	Log    string   // the file that it logs to
	Flags  []string // of samara serve, beyond those that a lab needs
	proc   *Process
}

// NewController returns the controller of a host, which keeps its files in dir under the host's name.
func NewController(h *Host, binary, dir string) *Controller {
	path := filepath.Join(dir, h.ID)
	return &Controller{Host: h, Binary: binary, Dir: path, Socket: path + ".sock", Log: path + ".log"}
}

// Init makes the controller's directory, for a cluster and a network of that name and with an ssh key that every node
// accepts for root; without one if publicKey is "".
func (c *Controller) Init(ctx context.Context, name, publicKey string) error {
	args := []string{"init", "--dir", c.Dir, "--name", name, "--id", c.Host.ID, "--address", c.Host.Address.String(),
		"--network", name, "--subnet", Subnet.String(), "--discovery", discovery}
	if publicKey != "" {
		args = append(args, "--ssh-key", publicKey)
	}
	_, err := c.Run(ctx, args...)
	return err
}

// Join makes the controller's directory as a further one of the cluster that first belongs to, which must be serving.
func (c *Controller) Join(ctx context.Context, first *Controller) error {
	var token api.JoinToken
	if err := first.Ask(ctx, &token, "controller", "token"); err != nil {
		return err
	}
	at := netip.AddrPortFrom(first.Host.Address, fleet.DefaultPorts.Control)
	_, err := c.Run(ctx, "controller", "join", at.String(), "--token", token.Token,
		"--dir", c.Dir, "--id", c.Host.ID, "--address", c.Host.Address.String())
	return err
}

// Start starts the controller in the background and does not wait for anything.
func (c *Controller) Start() error {
	cmd := c.Host.Command(c.Binary, append([]string{"serve", "--dir", c.Dir, "--socket", c.Socket, "--interface", Port}, c.Flags...)...)
	p, err := StartProcess("samara serve on "+c.Host.ID, c.Log, cmd)
	if err != nil {
		return err
	}
	c.proc = p
	return nil
}

// Serve starts the controller in the background and returns once it takes changes.
func (c *Controller) Serve(ctx context.Context) error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.WaitStatus(ctx, func(s api.Status) bool { return s.Quorum })
}

// WaitStatus waits until the controller answers with a status as wanted.
func (c *Controller) WaitStatus(ctx context.Context, wanted func(api.Status) bool) error {
	client := c.Client()
	defer client.Close()
	var last error
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
		status, err := client.Status(ctx)
		if last = err; err != nil {
			return false, c.proc.Ended()
		}
		return wanted(status), nil
	})
	if err != nil && c.proc.Ended() == nil {
		err = fmt.Errorf("%s is not ready: %w; its status: %w; the end of %s:\n%s", c.proc.name, err, last, c.Log, tail(c.Log, 15))
	}
	return err
}

// Process returns the running controller, nil before it was started.
func (c *Controller) Process() *Process { return c.proc }

// Restart ends the controller as its service manager does, and returns once it takes changes again.
func (c *Controller) Restart(ctx context.Context) error {
	if err := c.proc.Terminate(20 * time.Second); err != nil {
		return err
	}
	return c.Serve(ctx)
}

// Client returns a client by the controller's socket, cheaper than Ask for who asks often. The caller closes it.
func (c *Controller) Client() *api.Client { return api.NewSocketClient(c.Socket) }

// Command returns the command that runs samara with args against this controller, on its host.
func (c *Controller) Command(args ...string) *exec.Cmd {
	return c.Host.Command(c.Binary, append(slices.Clone(args), "--socket", c.Socket)...)
}

// Run runs samara with args and returns its results. The error has what it said on stderr.
func (c *Controller) Run(ctx context.Context, args ...string) (string, error) {
	return c.Host.Output(ctx, c.Binary, append(slices.Clone(args), "--socket", c.Socket)...)
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
	client := c.Client()
	defer client.Close()
	boots, err := client.Boots(ctx, node)
	if err != nil || len(boots) == 0 {
		return fleet.Boot{}, false, err
	}
	return boots[0], true, nil
}

// WaitBoot waits until the newest boot of a node is as wanted, asking ten times a second.
func (c *Controller) WaitBoot(ctx context.Context, node string, wanted func(fleet.Boot) bool) (fleet.Boot, error) {
	var boot fleet.Boot
	var last error
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
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
