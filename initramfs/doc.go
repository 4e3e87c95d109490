// Package initramfs builds the initramfs that a node boots with: the agent as /init, the kernel modules it may need
// before it has the image, their firmware when asked for, and a rescue shell when given. The same agent, modules and
// options make the same bytes.
//
// # What the agent finds
//
//	/init                  the agent, mode 0755
//	/dev/console           character device 5:1, so that PID 1 has a terminal before devtmpfs is mounted
//	/dev/null              character device 1:3
//	/dev /proc /sys /run /tmp /sysroot /lib/firmware   empty directories to mount on
//	/bin/busybox           the rescue shell, and /bin/sh, a link to it; absent unless Options.Shell was given
//	/lib/modules/RELEASE/  the modules, uncompressed
//	/lib/firmware/         the firmware of those modules, if Options.Firmware was set
//	/lib/samara/           three text files that replace modprobe and its databases
//
// The text files are UTF-8, one record a line, fields separated by one space, every line ended by a newline. There are
// no comments, no empty lines and no quoting: no field holds a space. A NAME is a module's name as /proc/modules
// prints it, with underscores and never hyphens. Modules that are built into the kernel are named nowhere.
//
// /lib/samara/modules says what each module needs, one module a line:
//
//	NAME FILE [DEP...]
//	virtio_net /lib/modules/6.1.0/kernel/drivers/net/virtio_net.ko virtio virtio_ring failover net_failover
//	r8169 /lib/modules/6.1.0/kernel/drivers/net/ethernet/realtek/r8169.ko libphy mdio_devres ?realtek
//
// FILE is absolute, and can be handed to finit_module(2) as it is. The DEPs are everything that has to be loaded before
// NAME, already closed and in order: load them from left to right, then NAME; no recursion is needed. A DEP that
// begins with "?" is a wish: if it cannot be loaded, go on. Every DEP has a line of its own, above the lines of
// those that need it, so that loading all FILEs from top to bottom works too. EEXIST from finit_module means
// that the module is there already, and is no failure; neither is ENODEV, for a module without hardware.
//
// /lib/samara/modules.alias says which module drives which device:
//
//	PATTERN NAME
//	virtio:d00000001v* virtio_net
//	pci:v000015B3d00001007sv*sd*bc*sc*i* mlx4_en
//
// PATTERN is a shell pattern of "*", "?" and "[...]" without "/" in it: path.Match reads it. It is matched against the
// text in the modalias files under /sys/devices. Several lines can match: load all the NAMEs, in the order of
// the lines. Loading a module can make new devices appear (a virtio or Hyper-V bus): look again until nothing
// new turns up. Lines whose PATTERN holds no ":" answer request_module (fs-overlay, crypto-crc32c).
//
// /lib/samara/load lists the NAMEs to load at once and always, one a line, in order (squashfs, loop, overlay and the like).
package initramfs
