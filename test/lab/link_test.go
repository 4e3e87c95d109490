package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

// Racks, nodes and heads reach each other over limited links, and what passes is counted.
func TestNodesOfRacksReachEachOther(t *testing.T) {
	if err := Need(); err != nil {
		t.Fatalf("%v (test/prepare test does it)", err)
	}
	const prefix = "samara-link"
	if err := Sweep(prefix); err != nil {
		t.Fatal(err)
	}
	network, err := NewNetwork(TestNetworkName(prefix), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	head, err := network.AddHost(1)
	if err != nil {
		t.Fatal(err)
	}
	var racks []*Rack
	for i := range 2 {
		r, err := network.AddRack(i + 1)
		if err != nil {
			t.Fatal(err)
		}
		racks = append(racks, r)
	}
	node, err := racks[0].AddNode(1)
	if err != nil {
		t.Fatal(err)
	}
	far, err := racks[1].AddNode(2)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []Link{head.Link, node.Link, far.Link, racks[0].Uplink, racks[1].Uplink} {
		for _, rate := range []int64{0, 1 << 20, 64 << 20} { // each replaces the one before
			if err := l.Limit(rate); err != nil {
				t.Fatal(err)
			}
		}
	}
	const size = 1 << 20
	for name, from := range map[string]*Host{"from a head": head, "from another rack": far} {
		before := traffic(t, racks[0].Uplink)
		if err := transfer(t.Context(), from, node, size); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// The kernel passes large packets with one header each.
		if in := traffic(t, racks[0].Uplink).In - before.In; in < size || in > size*11/10 {
			t.Errorf("%s: the uplink counted %d bytes into the rack, want %d and some headers", name, in, size)
		}
	}
	if out := traffic(t, far.Link).Out; out < size || out > size*11/10 {
		t.Errorf("a node sent %d bytes and its link counted %d", size, out)
	}
}

func traffic(t *testing.T, l Link) Traffic {
	t.Helper()
	got, err := l.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// transfer sends bytes from one host to another.
func transfer(ctx context.Context, from, to *Host, size int64) error {
	var l net.Listener
	err := to.Do(func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(to.Address, 7000).String())
		return err
	})
	if err != nil {
		return err
	}
	defer l.Close()
	received := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			received <- err
			return
		}
		defer c.Close()
		if n, err := io.Copy(io.Discard, c); err != nil || n != size {
			received <- errors.Join(err, io.ErrUnexpectedEOF)
			return
		}
		received <- nil
	}()
	c, err := from.Dial(ctx, "tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	_, err = c.Write(make([]byte, size))
	return errors.Join(err, c.Close(), <-received)
}

func TestCounters(t *testing.T) {
	const text = "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
		"    lo:     100       1    0    0    0     0          0         0      200       1    0    0    0     0       0          0\n" +
		"rack1: 12345678901 5 0 0 0 0 0 0 42 6 0 0 0 0 0 0\n"
	got, err := parseCounters([]byte(text))
	want := Traffic{Out: 12345678901, In: 42}
	if err != nil || got["rack1"] != want || len(got) != 2 {
		t.Errorf("got %v, %v, want rack1 with %v", got, err, want)
	}
	for _, bad := range []string{"eth0: 1 2 3\n", "eth0: x 0 0 0 0 0 0 0 1\n"} {
		if _, err := parseCounters([]byte(bad)); err == nil {
			t.Errorf("%q is taken for counters", bad)
		}
	}
}
