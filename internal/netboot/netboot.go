package netboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
	"github.com/samara-hpc/samara/internal/netboot/tftp"
)

// A Blob is an open blob. Its ReadAt returns an error rather than wrong bytes.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// An Observer is told what machines do. Its methods are called from many goroutines and must not block.
type Observer interface {
	// Phase says that a machine reached a phase of its boot. bootID is "" before its script.
	Phase(mac fleet.MAC, bootID string, p fleet.Phase, detail string)
	// Refused says that a node's machine asked for its script and cannot boot for now, and why.
	Refused(mac fleet.MAC, reason string)
	// Unknown says that a machine which no node claims asked to boot.
	Unknown(fleet.UnknownMachine)
}

// A Config is what a Server needs. The fields up to Observer are required.
type Config struct {
	State    func() fleet.State                                     // the local replica's latest; called for each request
	Self     fleet.Controller                                       // this controller: its address must be one of this machine; boot port 0 is any free one
	Pin      string                                                 // identity.Pin of the cluster's CA
	Token    func(fleet.BootPlan) (bootID, token string, err error) // called for each script of a node
	Blob     func(fleet.Digest) (Blob, error)                       // the error wraps fs.ErrNotExist if this controller does not hold it
	Observer Observer

	// Live returns the controllers that are alive now, this one among them. It is called for each answer and must not
	// block. If it is nil, or its answer empty, this controller is taken to be alone.
	Live func() []fleet.Controller
	// Claim is told that a machine which no node claims asked to boot from a network on which an identity waits for it.
	// It must not block; it is told again while the machine asks and is unknown. nil means that no machine is discovered.
	Claim func(mac fleet.MAC, network string)

	Tracker    http.Handler // serves /announce if not nil
	LoaderDir  string       // where iPXE is; "" means where distributions put it
	EFILoader  string       // snponly.efi, or ipxe.efi for firmware whose own network driver is at fault; "" is the former
	Interfaces []string     // by which DHCP requests are heeded; none means all
	Logger     *slog.Logger // nil discards
	Ports      *Ports       // nil means DefaultPorts
}

// Ports are the UDP ports that protocols fix; tests use others. 0 is any free one.
type Ports struct{ DHCP, ProxyDHCP, TFTP uint16 }

// DefaultPorts returns the ports that firmware asks.
func DefaultPorts() Ports { return Ports{DHCP: dhcp.ServerPort, ProxyDHCP: dhcp.ProxyPort, TFTP: 69} }

// A Server answers machines that boot. Open makes one.
type Server struct {
	cfg        Config
	loaders    loaders
	dhcp       *listener
	proxy      *listener
	tftpConn   *net.UDPConn
	tftp       *tftp.Server
	web        net.Listener
	links      *links
	frames     *frames
	advertiser *advertiser // nil where it cannot be had
	gate       *gate
	boots      *boots
	hush       hush
	blobs      atomic.Pointer[bootBlobs]
	shelf      *shelf
	queue      chan *datagram
	standIns   *standIns
	claims     *claims
	counters   counters
	deliver    func(arrival, dhcp.Reply) error
}

// Open loads the network boot programs and binds every port. Its error is one line that says which port or file, and
// the cure.
func Open(c Config) (*Server, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Ports == nil {
		ports := DefaultPorts()
		c.Ports = &ports
	}
	for _, name := range c.Interfaces {
		if _, err := net.InterfaceByName(name); err != nil {
			return nil, fmt.Errorf("network interface %q: %w; ip link shows those of this machine", name, err)
		}
	}
	programs, err := loadLoaders(c.LoaderDir, c.EFILoader)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: c, loaders: programs, links: newLinks(time.Now), frames: newFrames(), gate: newGate(),
		boots: newBoots(c.Observer, time.Now), queue: make(chan *datagram, queueSize),
		standIns: newStandIns(), claims: newClaims(), shelf: newShelf(c.Blob),
	}
	s.deliver = s.send
	s.tftp = tftp.New(s.resolve, s.transferred)
	if err := s.bind(); err != nil {
		s.Close()
		return nil, err
	}
	if programs.offer.ARM64 == "" {
		c.Logger.Warn("no iPXE for arm64 was found: arm64 machines with UEFI cannot boot; put snponly.efi for arm64 into the loader directory as " + snpLoaderARM)
	}
	return s, nil
}

func (s *Server) bind() (err error) {
	if s.dhcp, err = listenDHCP(s.cfg.Ports.DHCP, false); err != nil {
		return fmt.Errorf("DHCP: %w", err)
	}
	if s.proxy, err = listenDHCP(s.cfg.Ports.ProxyDHCP, true); err != nil {
		return fmt.Errorf("ProxyDHCP: %w", err)
	}
	at := netip.AddrPortFrom(s.cfg.Self.Address, s.cfg.Ports.TFTP)
	if s.tftpConn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at)); err != nil {
		return fmt.Errorf("TFTP: %w", bindError("UDP", at, err))
	}
	at = netip.AddrPortFrom(s.cfg.Self.Address, s.cfg.Self.Ports.Boot)
	tcp, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return fmt.Errorf("boot HTTP: %w", bindError("TCP", at, err))
	}
	s.cfg.Self.Ports.Boot = netip.MustParseAddrPort(tcp.Addr().String()).Port()
	s.web = newLimited(tcp, maxConnections, maxConnectionsPerClient)
	if s.advertiser, err = listenSolicitations(); err != nil {
		s.noAdvertisements("", err)
	}
	return nil
}

// Close releases the ports of a server that is not to be run. Run does so itself when it ends.
func (s *Server) Close() {
	for _, l := range []*listener{s.dhcp, s.proxy} {
		if l != nil {
			_ = l.conn.Close()
		}
	}
	if s.tftpConn != nil {
		_ = s.tftpConn.Close()
	}
	if s.web != nil {
		_ = s.web.Close()
	}
	if s.advertiser != nil {
		_ = s.advertiser.conn.Close()
	}
	s.frames.close()
	s.shelf.close()
}

// Run answers until ctx ends, and then releases the ports; transfers under way are given a few seconds. It returns
// nil if ctx ended, and otherwise what failed.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	g, ctx := errgroup.WithContext(ctx)
	for name, part := range map[string]func(context.Context) error{
		"DHCP":                  s.runDHCP,
		"TFTP":                  func(ctx context.Context) error { return s.tftp.Run(ctx, s.tftpConn) },
		"boot HTTP":             s.runHTTP,
		"router advertisements": s.runAdvertiser,
	} {
		g.Go(func() error {
			err := part(ctx)
			if err == nil && ctx.Err() == nil {
				err = errors.New("stopped unasked")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	return g.Wait()
}
