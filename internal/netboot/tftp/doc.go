// Package tftp hands out network boot programs by TFTP (RFC 1350, 2347, 2348, 2349): a fixed set of names, each
// mapped to bytes in memory. There is no directory behind it and nothing can be written, so a name from the network
// can at worst be unknown.
//
// TFTP moves one block per round trip, which is slow but enough for the 75 to 900 KB of a loader. Kernels go by HTTP.
package tftp
