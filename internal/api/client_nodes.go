package api

import (
	"context"
	"net/url"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
)

// A NodeQuery says which nodes to return, and how. The zero value is all of them with what their profiles say.
type NodeQuery struct {
	Written bool   // as they were written, without what their profiles say
	After   string // those whose names come after that one
	Limit   int    // at most that many, up to 10,000: fewer are the last ones. 0 is no limit
}

func (q NodeQuery) values() url.Values {
	v := url.Values{}
	if !q.Written {
		v.Set(resolvedParam, "1")
	}
	if q.After != "" {
		v.Set(afterParam, q.After)
	}
	if q.Limit != 0 {
		v.Set(limitParam, strconv.Itoa(q.Limit))
	}
	return v
}

// Nodes returns all nodes with what their profiles say, by name.
func (c *Client) Nodes(ctx context.Context) ([]NodeView, error) {
	return c.SomeNodes(ctx, NodeQuery{})
}

// SomeNodes returns the nodes that a query asks for, by name.
func (c *Client) SomeNodes(ctx context.Context, q NodeQuery) ([]NodeView, error) {
	return readWith(ctx, c, listNodes, q.values())
}

// Node returns one node with what its profiles say.
func (c *Client) Node(ctx context.Context, name string) (NodeView, error) {
	return readWith(ctx, c, getNode, NodeQuery{}.values(), name)
}

// WrittenNode returns one node as it was written, without what its profiles say.
func (c *Client) WrittenNode(ctx context.Context, name string) (NodeView, error) {
	return read(ctx, c, getNode, name)
}

// Why returns all that holds for a node and who says it, in the order of the table of fields.
func (c *Client) Why(ctx context.Context, node string) ([]fleet.Provenance, error) {
	return read(ctx, c, nodeWhy, node)
}

// WhyAfter returns who says what of the nodes whose names come after one, by name: of WhyPage nodes, fewer being the last
// ones.
func (c *Client) WhyAfter(ctx context.Context, name string) ([]NodeWhy, error) {
	query := url.Values{limitParam: {strconv.Itoa(WhyPage)}}
	if name != "" {
		query.Set(afterParam, name)
	}
	return readWith(ctx, c, listWhy, query)
}

// Profiles returns all profiles, by name.
func (c *Client) Profiles(ctx context.Context) ([]ProfileView, error) {
	return read(ctx, c, listProfiles)
}

// Profile returns one profile.
func (c *Client) Profile(ctx context.Context, name string) (ProfileView, error) {
	return read(ctx, c, getProfile, name)
}
