// Package swarmlab measures and breaks swarms on one machine: real controllers, and nodes that are real processes, each in
// a network namespace of its own behind a link that tc(8) limits, in racks whose uplinks are limited too. Beside Samara it
// runs a stock BitTorrent swarm and a plain HTTP server on the same links.
//
// It needs root. Everything that it makes lies in one directory and in network namespaces with one prefix, and goes with
// Site.Close.
package swarmlab
