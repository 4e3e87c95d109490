// Package simulate foretells how an image spreads through a swarm: it runs the origin and the hand-out that controllers
// run, with a model of the nodes' BitTorrent client and of the network, event by event in simulated time.
package simulate
