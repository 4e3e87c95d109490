// Package dhcp decides what a machine that asks for an address or for something to boot is told. It is pure: a
// request and the state of the fleet go in, a reply comes out.
//
// It follows RFC 2131 and 2132 for DHCP, RFC 3046, 3527, 5107 and 8357 for relay agents, RFC 4578 and the PXE 2.1
// specification for network booting, UEFI 2.10, 24.7, for HTTP boot, and what iPXE's source does where nothing is
// written down. Addresses are reservations of the replicated state, so there is no lease database: every controller
// gives the same answer, and a lease only bounds how long a client goes without asking again.
package dhcp
