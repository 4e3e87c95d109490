// Package utp stands in for github.com/anacrolix/go-utp, which anacrolix/torrent imports and Samara never uses:
// every swarm of ours speaks TCP. It provides the names that torrent compiles against; each constructor fails.
package utp

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// ErrUnsupported is what every constructor of this package returns.
var ErrUnsupported = errors.New("uTP is not supported")

// Default names the implementation, for torrent's messages.
const Default = "none"

// A FirewallCallback decides whether a first packet from an address is dropped.
type FirewallCallback func(net.Addr) bool

// An Option configures a socket. None has an effect.
type Option func()

// A Socket is never made by this package.
type Socket interface {
	net.PacketConn
	Accept() (net.Conn, error)
	Addr() net.Addr
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	SetFirewallCallback(FirewallCallback)
}

// WithLogger has no effect.
func WithLogger(*slog.Logger) Option { return func() {} }

// NewSocket returns ErrUnsupported.
func NewSocket(network, addr string, opts ...Option) (Socket, error) { return nil, ErrUnsupported }

// NewSocketFromPacketConn returns ErrUnsupported.
func NewSocketFromPacketConn(pc net.PacketConn, opts ...Option) (Socket, error) {
	return nil, ErrUnsupported
}
