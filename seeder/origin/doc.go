// Package origin decides what a controller uploads of a blob, to whom and in which order: each piece once, to one peer, if the
// peers do the rest. It is a pure state machine; sockets, clocks and limits are its caller's.
package origin
