package api

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/samara-hpc/samara/fleet"
)

func (s *Server) status(ctx context.Context, r *request, _ none) (Status, error) {
	st := s.Health.Status(ctx)
	state := r.state
	if c, ok := state.Cluster(); ok {
		st.Cluster = c.Name
	}
	st.Revision = state.Revision()
	st.Nodes = map[string]int{}
	for _, n := range s.viewNodes(state.Nodes(), state.CountNodes()) {
		st.Nodes[n.State]++
	}
	st.Images = 0
	for i := range state.Images() {
		st.Images += len(i.Versions)
	}
	st.Problems = append(append([]Problem{}, st.Problems...), s.suspicions()...)
	st.Controllers = []ControllerView{}
	if s.Controllers != nil {
		st.Controllers = append(st.Controllers, s.Controllers.List()...)
	}
	st.Voters, st.HA = availability(st.Controllers)
	st.Format = state.Format()
	return st, nil
}

func (s *Server) cluster(_ context.Context, r *request, _ none) (ClusterView, error) {
	c, ok := r.state.Cluster()
	if !ok {
		return ClusterView{}, fmt.Errorf("cluster: %w; run samara init first", fleet.ErrNotFound)
	}
	r.about = fleet.Condition{Kind: "cluster", Revision: c.Revision}
	return viewCluster(c), nil
}

func (s *Server) unknown(context.Context, *request, none) ([]fleet.UnknownMachine, error) {
	return append([]fleet.UnknownMachine{}, s.Observer.Unknown()...), nil
}

func (s *Server) listImages(_ context.Context, r *request, _ none) ([]fleet.Image, error) {
	return slices.AppendSeq([]fleet.Image{}, r.state.Images()), nil
}

func (s *Server) image(_ context.Context, r *request, _ none) (fleet.Image, error) {
	ref, err := fleet.ParseImageRef(r.PathValue("image"))
	if err != nil {
		return fleet.Image{}, err
	}
	img, v, err := r.state.ImageVersion(ref)
	if err != nil {
		return fleet.Image{}, err
	}
	r.about = fleet.Condition{Kind: "image", Name: img.Name, Revision: img.Revision}
	if ref.Version != 0 {
		img.Versions = []fleet.ImageVersion{v}
	}
	return img, nil
}

func (s *Server) torrent(ctx context.Context, r *request, _ none) (torrentFile, error) {
	ref, err := fleet.ParseImageRef(r.PathValue("image"))
	if err != nil {
		return nil, err
	}
	_, v, err := r.state.ImageVersion(ref)
	if err != nil {
		return nil, err
	}
	return s.Images.Torrent(ctx, fleet.ImageRef{Name: ref.Name, Version: v.Number})
}

func (s *Server) listNetworks(_ context.Context, r *request, _ none) ([]fleet.Network, error) {
	return slices.AppendSeq([]fleet.Network{}, r.state.Networks()), nil
}

func (s *Server) oneNetwork(_ context.Context, r *request, _ none) (fleet.Network, error) {
	name := r.PathValue("network")
	n, ok := r.state.Network(name)
	if !ok {
		return fleet.Network{}, fmt.Errorf("network %q: %w", name, fleet.ErrNotFound)
	}
	r.about = fleet.Condition{Kind: "network", Name: name, Revision: n.Revision}
	return n, nil
}

func (s *Server) enroll(ctx context.Context, r *request, body fleet.EnrollRequest) (fleet.EnrollAnswer, error) {
	return s.Agents.Enroll(ctx, r.remote(), body)
}

func (s *Server) renew(ctx context.Context, r *request, body fleet.RenewRequest) (fleet.RenewAnswer, error) {
	return s.Agents.Renew(ctx, r.name, body)
}

func (s *Server) report(ctx context.Context, r *request, body fleet.Report) (fleet.SwarmAnswer, error) {
	return s.Agents.Report(ctx, r.name, r.remote(), body)
}

// remote returns where r came from; the zero AddrPort if that is not an address.
func (r *request) remote() netip.AddrPort {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
