package main

import (
	"cmp"
	"net"
	"net/netip"
	"os"

	"golang.org/x/term"

	"github.com/samara-hpc/samara/internal/controller"
)

// defaultSocket is where a controller listens for its own machine's root.
const defaultSocket = "/run/samara/samara.sock"

// installed is the program as it runs on a head node.
func installed() program {
	p := program{
		version:   version,
		socket:    defaultSocket,
		init:      controller.Init,
		join:      controller.Join,
		restore:   controller.Restore,
		recover:   controller.Recover,
		serve:     controller.Serve,
		agent:     embeddedAgent,
		hostname:  os.Hostname,
		addresses: machineAddresses,
		terminal: func(stream any) bool {
			f, ok := stream.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		},
	}
	p.joinToken = os.Getenv("SAMARA_JOIN_TOKEN")
	p.editor = cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	if s := os.Getenv("SAMARA_SOCKET"); s != "" {
		p.socket = s
	}
	return p
}

// machineAddresses returns the IPv4 addresses of this machine that nodes might reach, with their prefixes.
func machineAddresses() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, p)
		}
	}
	return out, nil
}
