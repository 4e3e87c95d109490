package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
)

const imageName = "debian"

// bootTimeout is for one machine, from power-on to a system that is up. Emulated on a busy host it takes a minute.
const bootTimeout = 8 * time.Minute

// A demo is one run of this command.
type demo struct {
	out, binary string
	w           io.Writer

	state      state
	accel      lab.Accelerator
	network    *lab.Network
	ssh        *lab.SSH
	controller *lab.Controller
	image      fleet.ImageVersion
	figures    []lab.Figures
}

// A guest is a machine of the demo and its address.
type guest struct {
	lab.Machine
	ip netip.Addr
}

func guests() []guest {
	all := []guest{
		{Machine: lab.Machine{Name: "n1", Firmware: lab.BIOS}},
		{Machine: lab.Machine{Name: "n2", Firmware: lab.UEFIPXE}},
		{Machine: lab.Machine{Name: "n3", Firmware: lab.UEFIHTTP}},
		{Machine: lab.Machine{Name: "n4", Firmware: lab.BIOS}},
	}
	for i := range all {
		last := byte(11 + i)
		all[i].MAC = fleet.MAC{0x02, 0x77, 0, 0, 0, last}
		all[i].ip = netip.AddrFrom4([4]byte{10, 77, 0, last})
	}
	return all
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.w, format+"\n", args...) }

func (d *demo) up(ctx context.Context) error {
	s, found, err := d.load()
	if err != nil {
		return err
	}
	if found && s.running() {
		d.say("The demo is running already.")
		if d.network, err = lab.OpenNetwork(networkName); err != nil {
			return fmt.Errorf("%w; make demo-down ends what is left of the demo", err)
		}
		d.useNames()
		d.sayNext()
		return nil
	}
	if err := checkMemory(); err != nil {
		return err
	}
	if _, err := os.Stat(d.binary); err != nil {
		return fmt.Errorf("%w; make build makes it", err)
	}
	if found {
		d.say("An earlier demo did not come to its end; removing what it left.")
	}
	if err := d.remove(s); err != nil {
		return err
	}
	if err := d.perform(ctx); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted: %w", err)
		}
		return fmt.Errorf("%w\n\nThe logs are in %s: head*.log of controllers, *.console of the machines.\n"+
			"What was started runs on, to be looked at. Then: make demo-down, and make demo to try again", err, d.dir())
	}
	return nil
}

// perform is the demo. What it starts runs on when it returns, whatever it returns.
func (d *demo) perform(ctx context.Context) error {
	if err := os.MkdirAll(d.dir(), 0o700); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer d.writeFigures()
	all := guests()
	for _, g := range all[:len(all)-1] {
		if err := d.boot(ctx, g); err != nil {
			return err
		}
	}
	if err := d.bootFromPeers(ctx, all[len(all)-1]); err != nil {
		return err
	}
	d.state.Complete = true
	if err := d.save(); err != nil {
		return err
	}
	d.sayTable()
	d.sayNext()
	return nil
}

// prepare brings up everything but the machines.
func (d *demo) prepare(ctx context.Context) (err error) {
	d.step("What machines run on")
	if d.accel, err = lab.Probe(ctx); err != nil {
		return err
	}
	if d.accel == lab.KVM {
		d.say("KVM works here: the machines use it")
	} else {
		d.say("KVM does not work here: the machines are emulated, which takes each a minute or so to boot")
	}
	tar, err := lab.Rootfs(ctx, lab.CacheDir(), d.say)
	if err != nil {
		return err
	}

	d.step("A controller")
	if d.network, err = lab.NewNetwork(networkName, true); err != nil {
		return err
	}
	if _, err := d.network.AddHost(1); err != nil {
		return err
	}
	d.say("network namespace %s: bridge %s, controller at %s, machines in %s", networkName, lab.Bridge, lab.ControllerAddress, lab.Subnet)
	if d.ssh, err = lab.NewSSH(d.network, d.dir()); err != nil {
		return err
	}
	d.useNames()
	d.say("$ samara init --dir %s …", d.controller.Dir)
	if err := d.controller.Init(ctx, "demo", d.ssh.PublicKey()); err != nil {
		return err
	}
	d.say("$ samara serve --dir %s …", d.controller.Dir)
	if err := d.serve(ctx); err != nil {
		return err
	}

	d.step("An image")
	d.say("$ samara image import %s %s", tar, imageName)
	c := d.controller.Command("image", "import", tar, imageName)
	c.Stdout, c.Stderr = d.w, os.Stderr
	if err := runCommand(ctx, c); err != nil {
		return fmt.Errorf("samara image import: %w", err)
	}
	d.image, err = d.controller.Image(ctx, imageName)
	return err
}

// useNames sets what can be known of a network without anything running.
func (d *demo) useNames() {
	d.controller = lab.NewController(d.network.Host(1), d.binary, d.dir())
}

func (d *demo) serve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := d.controller.Serve(ctx)
	if p := d.controller.Process(); p != nil && p.Ended() == nil {
		if err := d.record("samara serve", p); err != nil {
			return err
		}
	}
	return err
}

// boot adds a node, switches its machine on and follows it until its system is up.
func (d *demo) boot(ctx context.Context, g guest) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	d.step("%s, %s", g.Name, g.Firmware)
	d.say("$ samara node add %s --mac %s --ip %s --image %s --kernel-arg console=ttyS0", g.Name, g.MAC, g.ip, imageName)
	if err := d.controller.AddNode(ctx, g.Machine, g.ip, imageName); err != nil {
		return err
	}
	vm, err := d.network.Boot(g.Machine, d.accel, d.dir())
	if err != nil {
		return err
	}
	if err := d.record("machine "+g.Name, vm.Process); err != nil {
		return err
	}
	f, err := d.follow(ctx, g, vm)
	d.figures = append(d.figures, f)
	if err != nil {
		return fmt.Errorf("%s does not come up: %w\n\nThe last lines of its console:\n%s", g.Name, err, vm.Console.Tail(30))
	}
	return nil
}

// follow waits until a machine is up, logs in, and returns its figures.
func (d *demo) follow(ctx context.Context, g guest, vm *lab.VM) (lab.Figures, error) {
	beat, stop := context.WithCancel(ctx)
	defer stop()
	go lab.Heartbeat(beat, 5*time.Second, func() { d.sayProgress(beat, vm) })
	none := lab.Figures{Name: g.Name, Firmware: g.Firmware, Image: d.image.Root.Size}
	login, err := lab.WaitLogin(ctx, vm)
	if err != nil {
		return none, err
	}
	d.say("  login prompt after %.1f s", login.Seconds())
	boot, err := d.controller.WaitBoot(ctx, g.Name, lab.Ready)
	if err != nil {
		return none, err
	}
	stop()
	if err := d.ssh.Wait(ctx, g.ip); err != nil {
		return none, err
	}
	for _, command := range []string{"uname -srm", "findmnt -n /", "systemctl is-system-running"} {
		out, err := d.ssh.Run(ctx, g.ip, command+" || true")
		if err != nil {
			return none, err
		}
		d.say("  %s# %s\n    %s", g.Name, command, strings.Join(lab.Lines(out), "\n    "))
	}
	return lab.Measure(ctx, d.ssh, vm, g.ip, login, boot, d.image)
}

// bootFromPeers boots a machine while nothing can be had of the controller's swarm port.
func (d *demo) bootFromPeers(ctx context.Context, g guest) error {
	port := fleet.DefaultPorts.Swarm
	d.step("The controller's swarm port, %d, is cut off: what comes now can only get the image from its peers", port)
	if err := d.controller.Host.Cut(port); err != nil {
		return err
	}
	if err := d.boot(ctx, g); err != nil {
		return err
	}
	if f := d.figures[len(d.figures)-1]; f.Origin != 0 || f.Peers < f.Image {
		return fmt.Errorf("%s got %d bytes of its image from the controller and %d of %d from its peers; want none and all", g.Name, f.Origin, f.Peers, f.Image)
	}
	d.say("  not one byte of its image came from the controller")
	return d.controller.Host.Heal()
}
