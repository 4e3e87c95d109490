package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

// connect returns a client of the controllers that the flags name. It connects with its first request.
func (g *global) connect() (*api.Client, error) {
	switch {
	case g.local() && g.identity == "":
		return api.NewSocketClient(g.socket), nil
	case g.local():
		return nil, usagef("--identity goes with --server")
	case g.identity == "":
		return nil, usagef("--server wants --identity, a directory with ca.crt, admin.crt and admin.key; samara init makes one under the controller's directory")
	}
	addresses := make([]string, len(g.servers))
	for i, s := range g.servers {
		var err error
		if addresses[i], err = withPort("--server", s); err != nil {
			return nil, err
		}
	}
	ca, err := readIdentity(g.identity, "ca.crt")
	if err != nil {
		return nil, err
	}
	pin, err := identity.Pin(ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(g.identity, "ca.crt"), err)
	}
	certPEM, err := readIdentity(g.identity, "admin.crt")
	if err != nil {
		return nil, err
	}
	keyPEM, err := readIdentity(g.identity, "admin.key")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", g.identity, err)
	}
	return api.NewClient(addresses, pin, func() (*tls.Certificate, error) { return &pair, nil }), nil
}

func readIdentity(dir, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("identity %s: %s is missing; copy the directory that samara init made", dir, name)
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return b, nil
}

// withPort returns server, the value of a flag or an argument, as host:port. It takes the form of a URL too, since people
// paste those.
func withPort(what, server string) (string, error) {
	s := server
	if rest, ok := cutScheme(s); ok {
		s = rest
	}
	if host, port, err := net.SplitHostPort(s); err == nil && host != "" && port != "" {
		return s, nil
	}
	if s == "" || net.ParseIP(s) == nil && fleet.CheckDomain(s) != nil {
		return "", usagef("%s %q: want an address such as 10.1.0.1:7600", what, server)
	}
	return net.JoinHostPort(s, fmt.Sprint(fleet.DefaultPorts.Control)), nil
}
