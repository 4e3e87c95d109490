package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A caller is who sent a request, as its connection proves it.
type caller struct {
	level permission // the highest row of the table that it reaches; nodes and admins do not include each other
	name  string     // the node's, at level nodes
	who   string     // for audit records
	local bool       // it came over the Unix socket
}

// may reports whether c may use a route with that permission.
func (c caller) may(p permission) bool {
	return p != nobody && (p == anyone || p == c.level)
}

// localWho is who asks over the Unix socket, in audit records.
const localWho = "root@local"

type peerKey struct{}

// socketPeer is what the kernel says of the process at the other end of a Unix socket.
type socketPeer struct {
	uid uint32
	err error
}

// withPeer notes who is at the other end of a new connection, for http.Server.ConnContext.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerUID(u)
	return context.WithValue(ctx, peerKey{}, socketPeer{uid, err})
}

// peerUID asks for the credentials that the peer had when it connected (unix(7), SO_PEERCRED).
func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

// callerOf returns who sent r. The error wraps ErrForbidden or identity.ErrNotTrusted.
func (s *Server) callerOf(r *http.Request) (caller, error) {
	if p, ok := r.Context().Value(peerKey{}).(socketPeer); ok {
		return s.localCaller(p)
	}
	if r.TLS == nil {
		return caller{}, fmt.Errorf("%w: neither TLS nor the local socket", ErrForbidden)
	}
	return remoteCaller(r.TLS, s.Now())
}

func (s *Server) localCaller(p socketPeer) (caller, error) {
	switch {
	case p.err != nil:
		return caller{}, fmt.Errorf("%w: the kernel does not say who calls: %w", ErrForbidden, p.err)
	case p.uid != s.User:
		return caller{}, fmt.Errorf("%w: the socket obeys user id %d, and yours is %d; run it as root", ErrForbidden, s.User, p.uid)
	}
	return caller{level: admins, who: localWho, local: true}, nil
}

func remoteCaller(state *tls.ConnectionState, now time.Time) (caller, error) {
	if len(state.PeerCertificates) == 0 {
		return caller{level: anyone, who: "anyone"}, nil
	}
	subject, err := identity.PeerSubject(state)
	if err != nil {
		return caller{}, err
	}
	// A connection may outlive the certificate that it was made with.
	if until := state.PeerCertificates[0].NotAfter; now.After(until) {
		return caller{}, fmt.Errorf("%w: the certificate of %s expired at %s", identity.ErrNotTrusted, subject, until.Format(time.RFC3339))
	}
	switch subject.Role {
	case identity.RoleAdmin, identity.RoleController:
		return caller{level: admins, who: subject.String()}, nil
	case identity.RoleNode:
		return caller{level: nodes, name: subject.Name, who: subject.String()}, nil
	}
	return caller{}, fmt.Errorf("%w: role %q is not known here", identity.ErrNotTrusted, subject.Role)
}

// admit reports why c may not use a route. A node that was deleted is nobody, however long its certificate lasts.
func (s *Server) admit(c caller, allow permission, r *http.Request) error {
	switch {
	case !c.may(allow) && c.level == anyone:
		return fmt.Errorf("%w: %s %s wants a client certificate", identity.ErrNotTrusted, r.Method, r.URL.Path)
	case !c.may(allow):
		return fmt.Errorf("%s %s: %w for %s", r.Method, r.URL.Path, ErrForbidden, c.who)
	case allow == nodes:
		if _, ok := s.Store.State().Node(c.name); !ok {
			return fmt.Errorf("node %s: %w", c.name, fleet.ErrNotFound)
		}
	}
	return nil
}
