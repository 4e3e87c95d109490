package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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
	level permission
	name  string // the node's or the controller's, at those levels
	who   string // for audit records
	local bool   // it came over the Unix socket
}

// may reports whether c may use a route with that permission. A role of people includes those below it, and controllers
// may what admins may; otherwise nobody may what another may.
func (c caller) may(p permission) bool {
	switch {
	case p == nobody:
		return false
	case p.forPeople():
		return c.level >= p
	}
	return p == anyone || p == c.level
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
	return remoteCaller(r.TLS, s.Now(), s.Store.State())
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

// remoteCaller says who is at the other end of a TLS session; state says who the controllers are.
func remoteCaller(session *tls.ConnectionState, now time.Time, state fleet.State) (caller, error) {
	if len(session.PeerCertificates) == 0 {
		return caller{level: anyone, who: "anyone"}, nil
	}
	subject, err := identity.PeerSubject(session)
	if err != nil {
		return caller{}, err
	}
	// A connection may outlive the certificate that it was made with.
	leaf := session.PeerCertificates[0]
	if until := leaf.NotAfter; now.After(until) {
		return caller{}, fmt.Errorf("%w: the certificate of %s expired at %s", identity.ErrNotTrusted, subject, until.Format(time.RFC3339))
	}
	switch subject.Role {
	case identity.RoleAdmin:
		return caller{level: admins, who: subject.String()}, nil
	case identity.RoleOperator:
		return caller{level: operators, who: subject.String()}, nil
	case identity.RoleViewer:
		return caller{level: viewers, who: subject.String()}, nil
	case identity.RoleController:
		return caller{level: controllers, name: subject.Name, who: subject.String()}, checkMember(state, subject.Name, leaf)
	case identity.RoleNode:
		return caller{level: nodes, name: subject.Name, who: subject.String()}, nil
	}
	return caller{}, fmt.Errorf("%w: role %q is not known here", identity.ErrNotTrusted, subject.Role)
}

// checkMember reports why a controller's certificate is of no use any more, however long it lasts: the controller was
// removed, or its name was given to another. Before the state knows of any cluster the certificate is enough.
func checkMember(state fleet.State, id string, certificate *x509.Certificate) error {
	cluster, ok := state.Cluster()
	if !ok {
		return nil
	}
	c, ok := cluster.Controller(id)
	if !ok {
		return fmt.Errorf("%w: controller %s was removed from the cluster; to take part again it must join with a new token and an empty directory", ErrForbidden, id)
	}
	if key := fleet.Digest(sha256.Sum256(certificate.RawSubjectPublicKeyInfo)); !c.Key.IsZero() && key != c.Key {
		return fmt.Errorf("%w: the controller that held this certificate was removed from the cluster, and another is called %s now", ErrForbidden, id)
	}
	return nil
}

// admit reports why c may not use a route. A node that was deleted is nobody, however long its certificate lasts.
func (s *Server) admit(c caller, allow permission, r *http.Request) error {
	switch {
	case !c.may(allow) && c.level == anyone:
		return fmt.Errorf("%w: %s %s wants a client certificate", identity.ErrNotTrusted, r.Method, r.URL.Path)
	case !c.may(allow):
		return fmt.Errorf("%s %s: %w for %s: it takes the role %s", r.Method, r.URL.Path, ErrForbidden, c.who, allow)
	case allow == nodes:
		if _, ok := s.Store.State().Node(c.name); !ok {
			return fmt.Errorf("node %s: %w", c.name, fleet.ErrNotFound)
		}
	}
	return nil
}
