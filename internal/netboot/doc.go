// Package netboot answers machines that boot from the network: DHCP on ports 67 and 4011, TFTP, and plain HTTP. It
// holds the sockets; what is answered is decided by its packages dhcp, tftp and ipxe, from the local replica of the
// state alone. Nothing here waits for another controller.
package netboot
