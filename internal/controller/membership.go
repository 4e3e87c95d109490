package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// joinSkew is how far the clock of a machine that joins may be off: certificates would be refused beyond.
const joinSkew = 5 * time.Minute

// membership knows and changes who the controllers are. It implements api.Controllers.
type membership struct {
	dir        dir
	self       self
	version    string
	pin        string
	store      *raftstore.Store
	neighbours *neighbours
	peer       *raftPeer
	hello      func() api.Hello // how this controller is
	authority  func(fleet.Cluster) (*identity.Authority, error)
	logger     *slog.Logger
	now        func() time.Time
}

// List implements api.Controllers.
func (m *membership) List() []api.ControllerView {
	cluster, _ := m.store.State().Cluster()
	members := map[string]raftstore.Member{}
	for _, member := range m.store.Members() {
		members[member.ID] = member
	}
	seen := map[string]sighting{}
	own := m.hello()
	newest := own.Revision
	for _, s := range m.neighbours.all() {
		seen[s.controller.ID] = s
		if s.alive {
			newest = max(newest, s.hello.Revision)
		}
	}
	views := make([]api.ControllerView, 0, len(cluster.Controllers))
	for _, c := range cluster.Controllers {
		s := seen[c.ID]
		if c.ID == m.self.ID {
			s = sighting{controller: c, alive: true, heard: m.now(), hello: own}
		}
		member, inRaft := members[c.ID]
		views = append(views, m.view(s, c, member, inRaft, newest))
	}
	return views
}

// view joins what is known of one controller. newest is the highest revision that any of them has applied.
func (m *membership) view(s sighting, c fleet.Controller, member raftstore.Member, inRaft bool, newest fleet.Revision) api.ControllerView {
	v := api.ControllerView{
		ID: c.ID, Address: netip.AddrPortFrom(c.Address, c.Ports.Control), Alive: s.alive, Seen: s.heard,
		Revision: s.hello.Revision, Version: s.hello.Version, Format: s.hello.Format,
		Blobs: s.hello.Blobs, BlobsMissing: s.hello.BlobsMissing + s.hello.BlobsCorrupt, Disk: s.hello.Disk, Self: c.ID == m.self.ID,
	}
	switch {
	case !inRaft:
		v.Role = api.RoleJoining
	case member.Leader:
		v.Role = api.RoleLeader
	case member.Voter:
		v.Role = api.RoleVoter
	default:
		v.Role = api.RoleLearner
	}
	if newest > v.Revision && !s.heard.IsZero() {
		v.Lag = uint64(newest - v.Revision)
	}
	v.Problem = m.problem(s, v)
	return v
}

// problem says what is wrong with a controller; "" if nothing is.
func (m *membership) problem(s sighting, v api.ControllerView) string {
	var stats raftstore.Stats
	if len(s.hello.Raft) > 0 && json.Unmarshal(s.hello.Raft, &stats) != nil {
		return "its answer cannot be understood"
	}
	cluster, _ := m.store.State().Cluster()
	switch {
	case s.heard.IsZero() && v.Role == api.RoleJoining:
		return "has not been started yet"
	case !s.alive && s.heard.IsZero():
		return "has not answered since this controller started"
	case !s.alive:
		return "does not answer"
	case s.hello.Cluster != "" && s.hello.Cluster != cluster.ID:
		return "holds another cluster's data"
	case stats.Failure != "":
		return "its log has failed: " + stats.Failure
	case s.skew.Abs() > maxSkew:
		return fmt.Sprintf("its clock differs by %s from that of %s", s.skew.Abs().Round(time.Second), m.self.ID)
	case s.hello.BlobsCorrupt > 0:
		return fmt.Sprintf("%d blobs are corrupt", s.hello.BlobsCorrupt)
	case v.BlobsMissing > 0:
		return fmt.Sprintf("lacks %d blobs, and fetches them", v.BlobsMissing)
	}
	return ""
}

// Token implements api.Controllers.
func (m *membership) Token(ctx context.Context, life time.Duration, who, why string) (api.JoinToken, error) {
	token, now := identity.NewJoinToken(m.pin), m.now().UTC()
	expires := now.Add(life).Truncate(time.Second)
	_, err := m.store.Propose(ctx, fleet.Entry{
		Command: &fleet.AddJoinToken{Token: fleet.JoinToken{ID: token.ID, Hash: token.Proof(), Expires: expires}},
		ID:      newRequestID(), At: now, Who: who, Why: why,
	})
	if err != nil {
		return api.JoinToken{}, apiError(err)
	}
	return api.JoinToken{Token: token.Word(), Expires: expires}, nil
}

// Join implements api.Controllers.
func (m *membership) Join(ctx context.Context, remote netip.AddrPort, r api.JoinRequest) (api.JoinAnswer, error) {
	token, err := identity.ParseJoinToken(r.Token)
	if err != nil {
		return api.JoinAnswer{}, fmt.Errorf("%w: %w", fleet.ErrJoin, err)
	}
	state, now := m.store.State(), m.now()
	cluster, ok := state.Cluster()
	switch {
	case !ok:
		return api.JoinAnswer{}, fmt.Errorf("join: cluster: %w", fleet.ErrNotFound)
	case r.Time.Sub(now).Abs() > joinSkew:
		return api.JoinAnswer{}, fmt.Errorf("%w: the clock of %s says %s, that of controller %s %s; set it (chronyc makestep, timedatectl) and join again with the same token",
			api.ErrClock, r.ID, r.Time.UTC().Format(time.RFC3339), m.self.ID, now.UTC().Format(time.RFC3339))
	case r.Format < state.Format():
		return api.JoinAnswer{}, fmt.Errorf("%w: samara %s on %s is older than what this cluster's log needs; install samara %s there", fleet.ErrFormat, r.Version, r.ID, m.version)
	}
	if err := m.stillLeaving(cluster, r.ID); err != nil {
		return api.JoinAnswer{}, err
	}
	key, err := identity.KeyDigest(r.CSR)
	if err != nil {
		return api.JoinAnswer{}, fmt.Errorf("%w request: %w", fleet.ErrInvalid, err)
	}
	public, err := identity.RequestKey(r.CSR)
	if err != nil {
		return api.JoinAnswer{}, fmt.Errorf("%w request: %w", fleet.ErrInvalid, err)
	}
	authority, err := m.authority(cluster)
	if err != nil {
		return api.JoinAnswer{}, err
	}
	sealKey, err := m.dir.sealKey()
	if err != nil {
		return api.JoinAnswer{}, err
	}
	fresh := fleet.Controller{ID: r.ID, Address: r.Address, Ports: r.Ports, Key: key}
	err = m.admit(ctx, fleet.Entry{
		Command: &fleet.JoinController{Token: token.ID, Proof: token.Proof(), Controller: fresh},
		ID:      newRequestID(), At: now.UTC(), Who: "token/" + token.ID, Why: fmt.Sprintf("controller %s joins from %s", r.ID, remote.Addr()),
	})
	if err != nil {
		return api.JoinAnswer{}, err
	}
	cert, err := authority.Issue(identity.Subject{Role: identity.RoleController, Name: r.ID}, public, []netip.Addr{r.Address}, now, identity.ControllerLife)
	if err != nil {
		return api.JoinAnswer{}, err
	}
	m.logger.Info("a controller has joined", "controller", r.ID, "address", r.Address, "version", r.Version)
	cluster, _ = m.store.State().Cluster()
	return api.JoinAnswer{Cluster: cluster.Name, ClusterID: cluster.ID, CA: cluster.CA, Certificate: cert, SealKey: sealKey,
		Controllers: cluster.Controllers, Time: now.UTC()}, nil
}

// admit commits a join. One that would be refused, or would change nothing, is not written into the log: it may come
// from anybody.
func (m *membership) admit(ctx context.Context, e fleet.Entry) error {
	if state, err := m.store.Read(ctx, raftstore.Default); err == nil {
		after, err := state.Apply(e, state.Revision()+1)
		if err != nil {
			return err
		}
		was, _ := state.Cluster()
		if is, _ := after.Cluster(); slices.Equal(is.Controllers, was.Controllers) {
			return nil
		}
	}
	_, err := m.store.Propose(ctx, e)
	return apiError(err)
}

// stillLeaving refuses a name that Raft has not let go of yet. A machine that comes back empty under the name of a voter
// has forgotten how that one voted, and could help to elect a second leader of one term.
func (m *membership) stillLeaving(cluster fleet.Cluster, id string) error {
	if _, listed := cluster.Controller(id); listed {
		return nil // taken, or the same machine asking again: the log tells which
	}
	if slices.ContainsFunc(m.store.Members(), func(member raftstore.Member) bool { return member.ID == id }) {
		return fmt.Errorf("controller %s: %w: it is being removed just now; join again in some seconds, with the same token", id, api.ErrUnavailable)
	}
	return nil
}

// Remove implements api.Controllers.
func (m *membership) Remove(ctx context.Context, id string, force bool, who, why string) (fleet.Revision, error) {
	if err := m.mayLeave(id); err != nil && !force {
		return 0, err
	}
	rev, err := m.store.Propose(ctx, fleet.Entry{Command: &fleet.RemoveController{ID: id}, ID: api.RequestID(ctx), At: m.now().UTC(), Who: who, Why: why})
	return rev, apiError(err)
}

// mayLeave reports why the cluster should not do without a controller.
func (m *membership) mayLeave(id string) error {
	voters, healthy := 0, 0
	var holders []string
	for _, v := range m.List() {
		votes := v.Role == api.RoleLeader || v.Role == api.RoleVoter
		if v.ID == id {
			continue
		}
		if votes {
			voters++
		}
		if votes && v.Alive {
			healthy++
		}
		if v.Alive && v.BlobsMissing == 0 {
			holders = append(holders, v.ID)
		}
	}
	switch {
	case voters > 0 && healthy <= voters/2:
		return fmt.Errorf("controller %s: %w: of the %d voters that stay only %d answer, and nothing could be changed any more; start them, or use --force", id, fleet.ErrInUse, voters, healthy)
	case voters > 0 && len(holders) == 0:
		return fmt.Errorf("controller %s: %w: no other controller that answers holds every image yet; wait until samara controller list shows it, or use --force", id, fleet.ErrInUse)
	}
	return nil
}

// Transfer implements api.Controllers.
func (m *membership) Transfer(ctx context.Context, to string) error {
	status := m.store.Status()
	if status.Leader == m.self.ID {
		return apiError(m.store.Transfer(ctx, to))
	}
	for _, member := range m.store.Members() {
		if member.Leader {
			return m.peer.client(member.Address).Transfer(ctx, to)
		}
	}
	return fmt.Errorf("%w: no controller leads", api.ErrUnavailable)
}

// apiError says a store's error in the API's words. What is not known comes first: it is more than that another leads.
func apiError(err error) error {
	switch {
	case err == nil, fleet.IsRefusal(err):
		return err
	case errors.Is(err, raftstore.ErrUncertain):
		return translated{api.ErrUncertain, err}
	case errors.Is(err, raftstore.ErrNotLeader):
		return translated{api.ErrNotLeader, err}
	case errors.Is(err, raftstore.ErrClosed), errors.Is(err, raftstore.ErrFailed):
		return translated{api.ErrUnavailable, err}
	case errors.Is(err, raftstore.ErrCannotLead):
		return fmt.Errorf("%w request: %w", fleet.ErrInvalid, err)
	}
	return err
}

// A translated error has the text of one package's and is another's as well.
type translated struct{ is, err error }

func (t translated) Error() string   { return t.err.Error() }
func (t translated) Unwrap() []error { return []error{t.is, t.err} }
