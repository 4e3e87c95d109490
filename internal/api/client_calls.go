package api

import (
	"context"

	"github.com/samara-hpc/samara/fleet"
)

// Status returns how the controller and its cluster are.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return read(ctx, c, getStatus)
}

// Cluster returns what holds for the whole cluster.
func (c *Client) Cluster(ctx context.Context) (ClusterView, error) {
	return read(ctx, c, getCluster)
}

// SetCluster changes what holds for the whole cluster.
func (c *Client) SetCluster(ctx context.Context, set fleet.SetCluster, o ChangeOptions) (Change, error) {
	return change(ctx, c, setCluster, set, o)
}

// Boots returns the boots of one node that controllers remember, newest first.
func (c *Client) Boots(ctx context.Context, node string) ([]fleet.Boot, error) {
	return read(ctx, c, listBoots, node)
}

// AddNodes creates nodes, all or none.
func (c *Client) AddNodes(ctx context.Context, nodes []fleet.Node, o ChangeOptions) (Change, error) {
	return change(ctx, c, addNodes, fleet.AddNodes{Nodes: nodes}, o)
}

// SetNodes changes nodes, all or none.
func (c *Client) SetNodes(ctx context.Context, set fleet.SetNodes, o ChangeOptions) (Change, error) {
	return change(ctx, c, setNodes, set, o)
}

// DeleteNodes removes nodes, all or none.
func (c *Client) DeleteNodes(ctx context.Context, names []string, o ChangeOptions) (Change, error) {
	return change(ctx, c, deleteNodes, fleet.DeleteNodes{Names: names}, o)
}

// Unknown returns the machines that asked to boot and that no node claims, newest first.
func (c *Client) Unknown(ctx context.Context) ([]fleet.UnknownMachine, error) {
	return read(ctx, c, listUnknown)
}

// Images returns all images, by name.
func (c *Client) Images(ctx context.Context) ([]fleet.Image, error) {
	return read(ctx, c, listImages)
}

// Image returns one image: with all its versions, or with the one that ref names.
func (c *Client) Image(ctx context.Context, ref fleet.ImageRef) (fleet.Image, error) {
	return read(ctx, c, getImage, ref.String())
}

// DeleteImage removes an image, or the version of it that ref names.
func (c *Client) DeleteImage(ctx context.Context, ref fleet.ImageRef, o ChangeOptions) (Change, error) {
	return change(ctx, c, deleteImage, none{}, o, ref.String())
}

// Torrent returns the .torrent file of an image version.
func (c *Client) Torrent(ctx context.Context, ref fleet.ImageRef) ([]byte, error) {
	return read(ctx, c, getTorrent, ref.String())
}

// Networks returns all networks, by name.
func (c *Client) Networks(ctx context.Context) ([]fleet.Network, error) {
	return read(ctx, c, listNetworks)
}

// Network returns one network.
func (c *Client) Network(ctx context.Context, name string) (fleet.Network, error) {
	return read(ctx, c, getNetwork, name)
}

// AddNetwork creates a network.
func (c *Client) AddNetwork(ctx context.Context, n fleet.Network, o ChangeOptions) (Change, error) {
	return change(ctx, c, addNetwork, n, o)
}

// SetNetwork replaces the network with n's name. If n.Revision is not 0 and the network has changed since, the error
// is fleet.ErrConflict.
func (c *Client) SetNetwork(ctx context.Context, n fleet.Network, o ChangeOptions) (Change, error) {
	return change(ctx, c, setNetwork, n, o, n.Name)
}

// DeleteNetwork removes a network on which no node has an address.
func (c *Client) DeleteNetwork(ctx context.Context, name string, o ChangeOptions) (Change, error) {
	return change(ctx, c, deleteNetwork, none{}, o, name)
}

// Discover arms nodes, so that machines that no node claims become them, one by one. A zero Until disarms.
func (c *Client) Discover(ctx context.Context, arm fleet.ArmDiscovery, o ChangeOptions) (Change, error) {
	return change(ctx, c, discoverNodes, arm, o)
}
