package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
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
	user  bool   // it is one whom the state can take the certificate back from
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

// newestTimeout bounds the look at what the leader knows of a user.
const newestTimeout = 3 * time.Second

// recognise finds out who sends r. This replica may lag behind: a user whom it does not have may have been added, and one
// who changes something may have been deleted. For them the newest state counts, if it can be had.
func (s *Server) recognise(r *request) (err error) {
	r.caller, err = s.callerOf(r.Request, r.state)
	if missing := errors.Is(err, identity.ErrRevoked); !missing && (err != nil || !r.user || r.Method == http.MethodGet) {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), newestTimeout)
	defer cancel()
	newest, unread := s.Store.Read(ctx, Default)
	if unread != nil {
		return err // a change will be refused where nobody leads, in words that say more
	}
	r.state, r.revision = newest, newest.Revision()
	r.caller, err = s.callerOf(r.Request, newest)
	return err
}

// untilRevoked returns a context that ends with ctx, and as soon as the certificate that r came with is taken back: for
// requests that last. The cause is the refusal then.
func (s *Server) untilRevoked(ctx context.Context, r *request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if !r.user {
		return ctx, func() { cancel(nil) }
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for state := r.state; ; {
			if _, err := s.callerOf(r.Request, state); errors.Is(err, identity.ErrRevoked) {
				cancel(err)
				return
			}
			next, err := s.Store.Wait(ctx, state.Revision())
			if err != nil {
				return // ctx has ended, or the store, and the controller with it
			}
			state = next
		}
	})
	return ctx, func() { cancel(nil); watching.Wait() }
}

// callerOf returns who sent r, by what a state says of controllers and users. The error wraps ErrForbidden,
// identity.ErrNotTrusted or identity.ErrRevoked.
func (s *Server) callerOf(r *http.Request, state fleet.State) (caller, error) {
	if p, ok := r.Context().Value(peerKey{}).(socketPeer); ok {
		return s.localCaller(p)
	}
	if r.TLS == nil {
		return caller{}, fmt.Errorf("%w: neither TLS nor the local socket", ErrForbidden)
	}
	return remoteCaller(r.TLS, s.Now(), state)
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

// remoteCaller says who is at the other end of a TLS session; state says who the controllers and the users are.
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
		return userCaller(admins, subject, leaf, state)
	case identity.RoleOperator:
		return userCaller(operators, subject, leaf, state)
	case identity.RoleViewer:
		return userCaller(viewers, subject, leaf, state)
	case identity.RoleController:
		return caller{level: controllers, name: subject.Name, who: subject.String()}, checkMember(state, subject.Name, leaf)
	case identity.RoleNode:
		return caller{level: nodes, name: subject.Name, who: subject.String()}, nil
	}
	return caller{}, fmt.Errorf("%w: role %q is not known here", identity.ErrNotTrusted, subject.Role)
}

// userCaller returns a person. The state must have the certificate, with that role: what was taken back, or never noted,
// is nobody's, however long it lasts. Only the cluster's own identity is none of the state.
func userCaller(level permission, who identity.Subject, certificate *x509.Certificate, state fleet.State) (caller, error) {
	if who == identity.OwnAdmin() {
		return caller{level: level, who: who.String()}, nil
	}
	serial := identity.Serial(certificate)
	u, _ := state.User(who.Name)
	if _, ok := u.Certificate(serial); !ok || identity.Role(u.Role) != who.Role {
		return caller{}, fmt.Errorf("certificate %s of %s was %w, or the cluster never knew of it; an admin makes another: samara user add %s --role %s",
			serial, who, identity.ErrRevoked, who.Name, who.Role)
	}
	return caller{level: level, who: who.String(), user: true}, nil
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
func (s *Server) admit(c caller, on route, dry bool, r *http.Request) error {
	allow := on.needs(dry)
	switch {
	case !c.may(allow) && c.level == anyone:
		return fmt.Errorf("%w: %s %s wants a client certificate", identity.ErrNotTrusted, r.Method, r.URL.Path)
	case !c.may(allow) && c.may(on.needs(true)):
		return fmt.Errorf("%s %s: %w for %s: it takes the role %s; a dry run does not", r.Method, r.URL.Path, ErrForbidden, c.who, allow)
	case !c.may(allow):
		return fmt.Errorf("%s %s: %w for %s: it takes the role %s", r.Method, r.URL.Path, ErrForbidden, c.who, allow)
	case allow == nodes:
		if _, ok := s.Store.State().Node(c.name); !ok {
			return fmt.Errorf("node %s: %w", c.name, fleet.ErrNotFound)
		}
	}
	return nil
}
