// Package netboot answers machines that boot from the network: DHCP on ports 67 and 4011, TFTP, and plain HTTP. It
// holds the sockets; what is answered is decided by its packages dhcp, tftp and ipxe, from the local replica of the
// state alone. Nothing here waits for another controller.
//
// Every controller hears every request, and each machine has an order of them (fleet.Order): the first answers at once,
// the others a little later, unless the machine has gone on by then. Which of them live is a hint that saves that wait;
// a machine is served whoever is wrong about it.
package netboot
