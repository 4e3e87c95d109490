package api

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
)

// The query parameters of lists of nodes, beside afterParam.
const (
	limitParam    = "limit"    // at most that many; the answer's Link says how to go on
	resolvedParam = "resolved" // "1": with what their profiles say
)

// maxPage bounds the limit of a list.
const maxPage = 10_000

// viewNodes views nodes, about count of them, with what was seen of them. The result is never nil.
func (s *Server) viewNodes(nodes iter.Seq[fleet.Node], count int) []NodeView {
	latest, faults, now := s.Observer.Latest(), s.faults(), s.Now()
	views := make([]NodeView, 0, count)
	for n := range nodes {
		b, seen := latest[n.Name]
		v := viewNode(n, b, seen, now)
		v.Faults = faults[n.Name]
		views = append(views, v)
	}
	return views
}

func (s *Server) listNodes(_ context.Context, r *request, _ none) ([]NodeView, error) {
	resolved, err := flagOf(r.Request, resolvedParam)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	limit, err := limitOf(query)
	if err != nil {
		return nil, err
	}
	all := r.state.Nodes()
	if resolved {
		all = r.state.ResolveAll()
	}
	if limit == 0 && !query.Has(afterParam) {
		return s.viewNodes(all, r.state.CountNodes()), nil
	}
	page := r.pageOf(query, limit)
	if resolved {
		page = r.resolve(page)
	}
	return s.viewNodes(page, min(limit, r.state.CountNodes())), nil
}

// resolve yields nodes of r's state with what their profiles say.
func (r *request) resolve(nodes iter.Seq[fleet.Node]) iter.Seq[fleet.Node] {
	return func(yield func(fleet.Node) bool) {
		for n := range nodes {
			n, _ = r.state.Resolve(n.Name) // it was just there
			if !yield(n) {
				return
			}
		}
	}
}

// pageOf yields the nodes of one page, and notes where the next one is. A limit of 0 is none.
func (r *request) pageOf(query url.Values, limit int) iter.Seq[fleet.Node] {
	return func(yield func(fleet.Node) bool) {
		last, taken, after := "", 0, query.Get(afterParam)
		for n := range r.state.Nodes() {
			if n.Name <= after {
				continue
			}
			if limit != 0 && taken == limit {
				query.Set(afterParam, last)
				r.next = r.URL.Path + "?" + query.Encode()
				return
			}
			last, taken = n.Name, taken+1
			if !yield(n) {
				return
			}
		}
	}
}

// limitOf returns the limit that a query sets; 0 is none.
func limitOf(query url.Values) (int, error) {
	text := query.Get(limitParam)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, fmt.Errorf("%w %s %.40q: want 1 to %d", fleet.ErrInvalid, limitParam, text, maxPage)
	}
	return n, nil
}

func (s *Server) node(_ context.Context, r *request, _ none) (NodeView, error) {
	resolved, err := flagOf(r.Request, resolvedParam)
	if err != nil {
		return NodeView{}, err
	}
	n, err := r.node()
	if err != nil {
		return NodeView{}, err
	}
	if resolved { // what it says depends on more than the node: the answer is about the state
		n, err = r.state.Resolve(n.Name)
	} else {
		r.about = fleet.Condition{Kind: fleet.ObjectNode, Name: n.Name, Revision: n.Revision}
	}
	if err != nil {
		return NodeView{}, err
	}
	b, seen := s.Observer.Latest()[n.Name]
	v := viewNode(n, b, seen, s.Now())
	v.Faults = s.faults()[n.Name]
	return v, nil
}

// node returns the node that r's path names, as it was written.
func (r *request) node() (fleet.Node, error) {
	name := r.PathValue("node")
	n, ok := r.state.Node(name)
	if !ok {
		return fleet.Node{}, fmt.Errorf("node %q: %w", name, fleet.ErrNotFound)
	}
	return n, nil
}

func (s *Server) why(_ context.Context, r *request, _ none) ([]fleet.Provenance, error) {
	n, err := r.node()
	if err != nil {
		return nil, err
	}
	all, err := r.state.Why(n.Name)
	return append([]fleet.Provenance{}, all...), err
}

// A NodeWhy is all that holds for one node, and who says it.
type NodeWhy struct {
	Name   string             `json:"name"` // of the node
	Values []fleet.Provenance `json:"values"`
}

// WhyPage is how many nodes an answer with who says what of each has, where the request sets no limit.
const WhyPage = 1000

func (s *Server) listWhy(ctx context.Context, r *request, _ none) ([]NodeWhy, error) {
	query := r.URL.Query()
	limit, err := limitOf(query)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = WhyPage
	}
	page := make([]NodeWhy, 0, min(limit, r.state.CountNodes()))
	for n := range r.pageOf(query, limit) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all, err := r.state.Why(n.Name)
		if err != nil {
			return nil, err
		}
		page = append(page, NodeWhy{n.Name, append([]fleet.Provenance{}, all...)})
	}
	return page, nil
}

func (s *Server) boots(_ context.Context, r *request, _ none) ([]fleet.Boot, error) {
	n, err := r.node()
	if err != nil {
		return nil, err
	}
	return append([]fleet.Boot{}, s.Observer.Boots(n.Name)...), nil
}

func (s *Server) listProfiles(_ context.Context, r *request, _ none) ([]ProfileView, error) {
	views := []ProfileView{}
	for p := range r.state.Profiles() {
		views = append(views, viewProfile(p))
	}
	return views, nil
}

func (s *Server) profile(_ context.Context, r *request, _ none) (ProfileView, error) {
	name := r.PathValue("profile")
	p, ok := r.state.Profile(name)
	if !ok {
		return ProfileView{}, fmt.Errorf("profile %q: %w", name, fleet.ErrNotFound)
	}
	r.about = fleet.Condition{Kind: fleet.ObjectProfile, Name: name, Revision: p.Revision}
	return viewProfile(p), nil
}
