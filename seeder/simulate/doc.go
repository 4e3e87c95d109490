// Package simulate foretells how an image spreads through a swarm: it runs the origin and the hand-out that controllers
// run, with a model of the nodes' BitTorrent client and of the network, event by event in simulated time.
//
// # The model
//
// A node asks its controllers about every two seconds while it is incomplete, is answered from a table up to half a second
// old, calls those it is told of, and hangs up on those it called and is told of no more; a node has at most 24
// connections. Nobody is choked. Bytes travel as fragments, a
// quarter of a piece (half of one in large swarms). A free uplink takes the next of its connections that wants something,
// in turn, and the receiver chooses then what that is: of pieces it has begun with first, else the rarest among its
// neighbours' that the sender has, else by chance. That is the end to which anacrolix/torrent v1.62 gets, which asks early
// but takes requests back from senders with longer queues. When all that is lacking is on its way, what a slow sender is
// at is asked for a second time. A piece counts when it is whole and verified; then the neighbours hear of it.
//
// A fragment occupies its sender's uplink, the uplinks of both racks if they differ, and the receiver's downlink at the
// same time, and a node's processor if it has a limit. Every connection has one fragment on its way, so that links are
// shared almost max-min fairly, as by TCP. Links lose nothing and the core of the network is never full.
//
// Left out are controllers that learn of each other's nodes late, complaints and suspects, and ranges over HTTPS, by which a
// real node helps itself after 20 seconds without a piece; what dies is noticed by controllers and, unless it resets its
// connections, by peers after Net.Lag.
//
// # How good it is
//
// Nothing in the model was fitted to these measurements: 256 MiB from a prototype of the origin to real processes on
// loopback, whose uplinks were limited in the processes (TestModelAgreesWithMeasurements).
//
//	                                                      makespan, s            images sent
//	                                                  measured  model        measured  model
//	16 nodes, 20 MB/s, pieces of 1 MiB                    14.3   14.2            1.00   1.00
//	32 nodes, 10 MB/s, degree 6                           30.7   29.7            1.00   1.00
//	48 nodes, 6 MB/s, degree 8                            57.0   52.3            1.02   1.00
//	16 nodes, 20 MB/s, pieces of 4 MiB                    19.0   16.6            1.00   1.00
//	16 nodes, 20 MB/s, pieces of 16 MiB                   28.0   26.3            1.00   1.00
//	16 nodes, 20 MB/s, 2 die after 3 s                    14.8   14.2            1.07   1.01
//	16 nodes, 20 MB/s, 0.5 s apart                        16.8   16.7            1.00   1.00
//	16 nodes, 20 MB/s, and 8 when the first is done       21.6   18.8            1.00   1.00
//
// It is an optimist by up to 13 %: real clients stutter, and the model's do not. Compare puts runs of the lab beside it.
package simulate
