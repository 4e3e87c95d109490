// Package lab is a private machine room on one Linux host: a network of its own, and machines without disks that boot
// over it. It runs the product as a user does, through its command line, and looks at the machines from outside: their
// consoles, their monitors, ssh. The demo and the end-to-end test are built from it.
//
// It needs root and Linux. Everything it makes lies in one directory and in one network namespace, so that removing
// these two leaves nothing behind.
package lab
