package linear

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/lab"
)

// A race is a number of unknown machines switched on at once, and somewhat more nodes that wait for one.
const (
	racers     = 40
	identities = 44
	askAgain   = 1500 * time.Millisecond // as firmware repeats a DISCOVER, but for its growing patience
	raceLimit  = 2 * time.Minute
)

// race has machines claim identities, and checks that each got one of its own. Its nodes are new, and go afterwards.
func (r *run) race(ctx context.Context, number int) error {
	client, err := r.cluster.client(number % controllers)
	if err != nil {
		return err
	}
	defer client.Close()
	client.Consistency = api.Linearizable
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), raceLimit)
	defer cancel()
	var nodes []fleet.Node
	var names []string
	for i := range identities {
		name := fmt.Sprintf("d%d-%d", number, i)
		names = append(names, name)
		nodes = append(nodes, fleet.Node{Name: name, Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(20 + i)})}}}})
	}
	if err := surely(ctx, func(id string) error {
		_, err := client.AddNodes(ctx, nodes, api.ChangeOptions{RequestID: id})
		return err
	}); err != nil {
		return err
	}
	arm := fleet.ArmDiscovery{Names: names, Until: time.Now().Add(time.Hour)}
	if err := surely(ctx, func(id string) error {
		_, err := client.Discover(ctx, arm, api.ChangeOptions{RequestID: id})
		return err
	}); err != nil {
		return err
	}
	offers, err := discover(ctx, number)
	if err != nil {
		return err
	}
	if err := r.verifyClaims(ctx, client, number, names, offers); err != nil {
		return err
	}
	return surely(ctx, func(id string) error {
		_, err := client.DeleteNodes(ctx, names, api.ChangeOptions{RequestID: id})
		return err
	})
}

// surely has a change made, whatever strikes the cluster meanwhile. It is asked for under one id.
func surely(ctx context.Context, change func(id string) error) error {
	id := api.NewRequestID()
	for {
		err := change(id)
		if err == nil || ctx.Err() != nil || !excused(err) && !errors.Is(err, api.ErrUncertain) {
			return err
		}
		pause(ctx, 500*time.Millisecond)
	}
}

// verifyClaims checks what machines were offered against what the cluster holds.
func (r *run) verifyClaims(ctx context.Context, client *api.Client, number int, names []string, offers map[fleet.MAC]netip.Addr) error {
	held := map[fleet.MAC]netip.Addr{}
	for _, name := range names {
		var n api.NodeView
		if err := surely(ctx, func(string) (err error) {
			n, err = client.Node(ctx, name)
			return err
		}); err != nil {
			return err
		}
		for _, i := range n.Interfaces {
			if _, twice := held[i.MAC]; twice && i.MAC != (fleet.MAC{}) {
				r.fault(fmt.Errorf("race %d: %s has two identities, one of them %s", number+1, i.MAC, name))
			}
			held[i.MAC] = i.IP
		}
	}
	given := map[netip.Addr]fleet.MAC{}
	for mac, ip := range offers {
		if other, twice := given[ip]; twice {
			r.fault(fmt.Errorf("race %d: %s and %s were both offered %s", number+1, mac, other, ip))
		}
		given[ip] = mac
		if held[mac] != ip {
			r.fault(fmt.Errorf("race %d: %s was offered %s and its node has %v", number+1, mac, ip, held[mac]))
		}
	}
	return nil
}

// discover switches on the machines of a race and returns what they were offered, once each has an offer.
func discover(ctx context.Context, number int) (map[fleet.MAC]netip.Addr, error) {
	conn, err := listenDHCP()
	if err != nil {
		return nil, err
	}
	offers := map[fleet.MAC]netip.Addr{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	over := errors.New("all have an offer")
	g.Go(func() error {
		buf := make([]byte, 2048)
		for {
			size, _, err := conn.ReadFrom(buf)
			if err != nil {
				return fmt.Errorf("%d machines of %d got an identity: %w", len(offers), racers, errors.Join(ctx.Err(), err))
			}
			m, err := dhcpv4.FromBytes(buf[:size])
			if err != nil || m.MessageType() != dhcpv4.MessageTypeOffer || len(m.ClientHWAddr) != 6 {
				continue
			}
			mac, ip := fleet.MAC(m.ClientHWAddr), netip.AddrFrom4([4]byte(m.YourIPAddr.To4()))
			mu.Lock()
			before, again := offers[mac]
			offers[mac] = ip
			all := len(offers) == racers
			mu.Unlock()
			if again && before != ip {
				return fmt.Errorf("%s was offered %s and then %s", mac, before, ip)
			}
			if all {
				return over
			}
		}
	})
	for i := range racers {
		mac := fleet.MAC{0x02, 0x77, 0x01, byte(number >> 8), byte(number), byte(i)}
		g.Go(func() error {
			for ctx.Err() == nil {
				mu.Lock()
				_, served := offers[mac]
				mu.Unlock()
				if served {
					return nil
				}
				if _, err := conn.WriteTo(discovery(mac), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}); err != nil && ctx.Err() == nil {
					return err
				}
				pause(ctx, askAgain)
			}
			return nil
		})
	}
	if err := g.Wait(); !errors.Is(err, over) {
		return nil, err
	}
	return offers, nil
}

// discovery is what the firmware of a machine sends, a UEFI that boots by PXE.
func discovery(mac fleet.MAC) []byte {
	m, _ := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithHwAddr(mac[:]), dhcpv4.WithBroadcast(true))
	m.Options[60] = []byte("PXEClient:Arch:00007:UNDI:003016")
	m.Options[93] = binary.BigEndian.AppendUint16(nil, 7)
	m.Options[97] = append([]byte("\x00samara-race"), mac[1:]...)
	return m.ToBytes()
}

// listenDHCP returns a socket that sends and receives as DHCP clients on the bridge do.
func listenDHCP() (net.PacketConn, error) {
	l := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = os.NewSyscallError("bind to device", unix.BindToDevice(int(fd), lab.Bridge)) })
		return errors.Join(err, bound)
	}}
	return l.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", dhcpv4.ClientPort))
}
