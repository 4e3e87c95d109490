package swarmlab

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Two clusters on one wire have the same image, and so the same torrent. Their nodes do not speak to each other.
func TestTwoClustersOnOneWire(t *testing.T) {
	t.Parallel()
	h := newHall(t, "swl-two", Layout{Heads: 2, Nodes: 8, Racks: 1, Link: testLink})
	var peers []*Peer
	var clusters []*Samara
	for i, name := range []string{"east", "west"} {
		nodes := h.every()[4*i : 4*i+4]
		m := h.form(name, h.Heads[i:i+1], nodes...)
		clusters = append(clusters, m)
		peers = append(peers, h.start(m, nodes...)...)
	}
	if one, other := clusters[0].Image, clusters[1].Image; one.Root != other.Root || one.Torrent != other.Torrent {
		t.Fatalf("the clusters have different images, %s and %s", one.Root.Digest, other.Root.Digest)
	}
	h.must(h.Limit())
	watching, stop := context.WithCancel(h.ctx)
	defer stop()
	crossed := make(chan []string, 1)
	go func() { crossed <- h.crossings(watching, peers) }()
	h.begin(peers...)
	h.proved(peers...)
	stop()
	if c := <-crossed; c != nil {
		t.Errorf("nodes of two clusters are connected: %v", c)
	}
	for i, m := range clusters {
		sent := m.Sent(h.ctx)[0]
		t.Logf("cluster %d sent %s", i+1, share(sent))
		if sent < m.Image.Root.Size {
			t.Errorf("controller %d sent %s, want at least one: its nodes had the image from nowhere else", i+1, share(sent))
		}
	}
}

// crossings looks at the TCP connections of peers, of which the first half is of one cluster and the second of another,
// until ctx ends. It returns those that cross.
func (h *hall) crossings(ctx context.Context, peers []*Peer) []string {
	half := len(peers) / 2
	foreign := func(i int, a netip.Addr) bool {
		others, head := peers[half:], h.Heads[1]
		if i >= half {
			others, head = peers[:half], h.Heads[0]
		}
		return a == head.Address || slices.ContainsFunc(others, func(p *Peer) bool { return p.Host.Address == a })
	}
	var found []string
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, p := range peers {
			remotes, err := connections(p.cmd.Process.Pid)
			if err != nil {
				return append(found, err.Error())
			}
			for _, a := range remotes {
				if foreign(i, a) {
					found = append(found, fmt.Sprintf("%s to %s", p.Name, a))
				}
			}
		}
		select {
		case <-ctx.Done():
			return found
		case <-tick.C:
		}
	}
}

// connections returns the far ends of the TCP connections of a process' network: established ones, over IPv4.
func connections(pid int) ([]netip.Addr, error) {
	all, err := sockets(pid)
	var list []netip.Addr
	for _, s := range all {
		list = append(list, s.remote.Addr())
	}
	return list, err
}

// A socket is an established TCP connection.
type socket struct{ local, remote netip.AddrPort }

// sockets returns the TCP connections of a process' network: established ones, over IPv4.
func sockets(pid int) ([]socket, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return nil, err
	}
	var list []socket
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != "01" { // TCP_ESTABLISHED
			continue
		}
		local, err := parseEnd(fields[1])
		remote, err2 := parseEnd(fields[2])
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("/proc/net/tcp has the line %q: %w", line, err)
		}
		list = append(list, socket{local, remote})
	}
	return list, nil
}

// parseEnd reads an address as proc_net_tcp(5) has it: in hexadecimal, the bytes of the address in the machine's order.
func parseEnd(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	if err != nil || len(b) != 4 {
		return netip.AddrPort{}, fmt.Errorf("the address %q", text)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	ip := netip.AddrFrom4([4]byte(binary.NativeEndian.AppendUint32(nil, binary.BigEndian.Uint32(b))))
	return netip.AddrPortFrom(ip, uint16(n)), err
}
