package swarmlab

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// A plain is an image on the first head of a site without controllers, served by a stock client or by HTTP.
type plain struct {
	site    *Site
	origin  *Peer
	node    peer.Config // what every node is told
	isStock bool
}

// servePlain starts the origin, and returns once it has the image on offer.
func servePlain(ctx context.Context, c *Crowd, s System, size int64) (source, error) {
	site := c.site
	dir, err := site.subdir("origin")
	if err != nil {
		return nil, err
	}
	blob, info, err := writeBlob(dir, size, seed)
	if err != nil {
		return nil, err
	}
	torrent := filepath.Join(site.Dir, "info")
	if err := os.WriteFile(torrent, info, 0o644); err != nil {
		return nil, err
	}
	role, node, port := peer.HTTPOrigin, peer.HTTP, peer.HTTPPort
	if s == Stock {
		role, node, port = peer.StockOrigin, peer.Stock, peer.StockPort
	}
	head := site.Heads[0]
	p := &plain{site: site, isStock: s == Stock}
	p.node = peer.Config{Role: node, Image: blob, Torrent: torrent, Origins: []netip.AddrPort{netip.AddrPortFrom(head.Address, uint16(port))}}
	for _, h := range site.Nodes {
		p.node.Others = append(p.node.Others, netip.AddrPortFrom(h.Address, peer.StockPort))
	}
	if p.origin, err = c.Start(head, peer.Config{Role: role, Dir: dir, Image: blob, Torrent: torrent}); err != nil {
		return nil, err
	}
	if err := c.WaitReady(ctx); err != nil {
		return nil, err
	}
	return p, p.origin.Begin()
}

func (p *plain) config(context.Context, int) (peer.Config, error) { return p.node, nil }

func (p *plain) image() fleet.Blob { return p.node.Image }

// sent returns the origin's own count. The HTTP server keeps none.
func (p *plain) sent(context.Context) []int64 {
	if !p.isStock {
		return nil
	}
	return []int64{p.origin.Latest().Uploaded}
}

func (p *plain) kill(int) ([]*lab.Host, error) {
	return []*lab.Host{p.site.Heads[0]}, p.origin.Hurt(Kill)
}
