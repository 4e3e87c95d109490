package swarmlab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/lab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// imageName is what a cluster of the lab calls its image.
const imageName = "lab"

// askPatience is how long one question to a controller may take.
const askPatience = 10 * time.Second

// metricsPort is where every controller of the lab tells its metrics in clear.
const metricsPort = 7605

// A Samara is a cluster of real controllers on heads of a site, with one image. It is driven by its command line.
type Samara struct {
	*lab.Cluster
	Image fleet.ImageVersion
	site  *Site

	mu   sync.Mutex
	base map[string]int64 // by controller: what it had sent before the nodes came
	last map[string]int64 // the same, when it was asked last
}

// FormSamara starts a cluster of that name on heads, and returns once all of them vote.
func FormSamara(ctx context.Context, s *Site, binary, name string, heads ...*lab.Host) (*Samara, error) {
	dir, err := s.subdir(name)
	if err != nil {
		return nil, err
	}
	m := &Samara{Cluster: &lab.Cluster{}, site: s, base: map[string]int64{}, last: map[string]int64{}}
	for _, h := range heads {
		c := lab.NewController(h, binary, dir)
		c.Flags = []string{"--metrics", metricsOf(h).String()}
		m.Controllers = append(m.Controllers, c)
	}
	return m, m.Form(ctx, name, "")
}

func metricsOf(head *lab.Host) netip.AddrPort { return netip.AddrPortFrom(head.Address, metricsPort) }

// Import makes an image of a root filesystem with that much noise, and returns once every controller holds it.
func (m *Samara) Import(ctx context.Context, size int64, seed uint64) error {
	tar := filepath.Join(m.site.Dir, "rootfs.tar")
	if err := WriteRootfs(tar, size, seed); err != nil {
		return err
	}
	defer os.Remove(tar)
	first := m.Controllers[0]
	if _, err := first.Run(ctx, "image", "import", tar, imageName); err != nil {
		return err
	}
	image, err := first.Image(ctx, imageName)
	if err != nil {
		return err
	}
	m.Image = image
	err = first.WaitStatus(ctx, func(s api.Status) bool {
		return !slices.ContainsFunc(s.Controllers, func(v api.ControllerView) bool {
			return !v.Alive || v.BlobsMissing > 0 || v.Blobs < len(image.Blobs())
		})
	})
	if err != nil {
		return fmt.Errorf("not every controller has the image: %w", err)
	}
	for _, c := range m.Controllers {
		if m.base[c.Host.ID], err = c.OriginBytes(ctx); err != nil {
			return err
		}
	}
	return nil
}

// AddNodes adds nodes of the site, by their index, in the racks that they are in, and returns once every controller knows
// them.
func (m *Samara) AddNodes(ctx context.Context, nodes ...int) error {
	for i, r := range m.site.Racks {
		var names, macs []string
		var first netip.Addr
		for _, n := range nodes {
			if m.site.RackOf(n) != i {
				continue
			}
			h := m.site.Nodes[n]
			if !first.IsValid() {
				first = h.Address
			}
			names, macs = append(names, h.ID), append(macs, lab.NodeMAC(n+1))
		}
		if names == nil {
			continue
		}
		_, err := m.Controllers[0].Run(ctx, "node", "add", strings.Join(names, ","), "--mac", strings.Join(macs, ","),
			"--ip", first.String(), "--image", imageName, "--rack", r.ID)
		if err != nil {
			return err
		}
	}
	for _, c := range m.Controllers {
		err := c.WaitStatus(ctx, func(s api.Status) bool {
			known := 0
			for _, n := range s.Nodes {
				known += n
			}
			return known == len(nodes)
		})
		if err != nil {
			return fmt.Errorf("not every controller knows the nodes: %w", err)
		}
	}
	return nil
}

// Config returns what the peer on a node is told, with a token from the boot script that one of the controllers gives
// to that node: each in its turn.
func (m *Samara) Config(ctx context.Context, node int) (peer.Config, error) {
	at := m.Controllers[node%len(m.Controllers)]
	script, err := bootScript(ctx, m.site.Nodes[node], at.Host.Address, lab.NodeMAC(node+1))
	if err != nil {
		return peer.Config{}, err
	}
	c := peer.Config{Role: peer.Samara, Image: m.Image.Root}
	for word := range strings.FieldsSeq(script) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "samara.ca":
			c.Pin = value
		case "samara.boot":
			c.Token = value
		case "samara.ctl":
			for one := range strings.SplitSeq(value, ",") {
				a, err := netip.ParseAddrPort(one)
				if err != nil {
					return c, fmt.Errorf("boot script: samara.ctl: %w", err)
				}
				c.Origins = append(c.Origins, a)
			}
		}
	}
	if c.Pin == "" || c.Token == "" || c.Origins == nil {
		return c, fmt.Errorf("boot script of node %s: no token:\n%s", m.site.Nodes[node].ID, script)
	}
	return c, nil
}

// bootScript asks a controller, from a node, for what the node boots.
func bootScript(ctx context.Context, node *lab.Host, controller netip.Addr, mac string) (string, error) {
	return getText(ctx, node, fmt.Sprintf("http://%s/boot/%s", netip.AddrPortFrom(controller, fleet.DefaultPorts.Boot), mac))
}

// getText asks an HTTP server from a host.
func getText(ctx context.Context, from *lab.Host, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return from.Dial(ctx, network, address)
	}}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil || answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s %q %w", url, answer.Status, text, err)
	}
	return string(text), nil
}

// SentBy returns the bytes of payload that a controller has sent to nodes by its own account. One that does not answer
// counts with what it said last.
func (m *Samara) SentBy(ctx context.Context, c *lab.Controller) int64 {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	client := c.Client()
	defer client.Close()
	status, err := client.Status(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.last[c.Host.ID] = status.Seeding.OriginBytes - m.base[c.Host.ID]
	}
	return m.last[c.Host.ID]
}

// Sent returns SentBy of every controller.
func (m *Samara) Sent(ctx context.Context) []int64 {
	var list []int64
	for _, c := range m.Controllers {
		list = append(list, m.SentBy(ctx, c))
	}
	return list
}

// serveSamara makes a cluster of all heads of a site, with the image and all nodes.
func serveSamara(ctx context.Context, s *Site, binary string, size int64) (source, error) {
	m, err := FormSamara(ctx, s, binary, "c", s.Heads...)
	if err != nil {
		return nil, err
	}
	if err := m.Import(ctx, size, seed); err != nil {
		return nil, err
	}
	return samaraSource{m}, m.AddNodes(ctx, s.every()...)
}

// A samaraSource is a cluster as the source of a run.
type samaraSource struct{ *Samara }

func (m samaraSource) image() fleet.Blob { return m.Image.Root }

func (m samaraSource) config(ctx context.Context, node int) (peer.Config, error) {
	return m.Config(ctx, node)
}

func (m samaraSource) sent(ctx context.Context) []int64 { return m.Sent(ctx) }

// kill begins with the controller that imported the image.
func (m samaraSource) kill(count int) ([]*lab.Host, error) {
	var hosts []*lab.Host
	for _, c := range m.Controllers[:count] {
		c.Kill()
		hosts = append(hosts, c.Host)
	}
	return hosts, nil
}
