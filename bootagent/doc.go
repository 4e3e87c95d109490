// Package bootagent is what runs inside a node: PID 1 of the initramfs until the image's init takes over, and beside
// it the agent, which fetches the image, mounts it, and stays as the node's seeder. DESIGN.md says why there are two
// processes.
package bootagent

// ChildName is argv[0] of the agent. Systemd leaves processes alone whose argv[0] begins with "@" when it kills
// everything at shutdown (systemd.io, ROOT_STORAGE_DAEMONS).
const ChildName = "@samara-agent"

// Where things are in the initramfs. /run moves into the new root, so what is below it keeps its name.
const (
	newRoot   = "/sysroot"
	workDir   = "/run/samara"      // tmpfs that holds the image and, until the switch, the enrollment
	lowerDir  = workDir + "/lower" // the image, mounted
	rwDir     = workDir + "/rw"    // tmpfs for what the node writes
	moduleDir = "/lib/samara"      // what package initramfs wrote
	shellPath = "/bin/busybox"     // the rescue shell, if there is one
)
