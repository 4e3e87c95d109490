package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
)

const (
	imageName   = "debian"
	controllers = 3
)

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
	cluster    *lab.Cluster
	controller *lab.Controller // the one that is asked
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
		d.controller = lab.NewController(d.network.Host(1), d.binary, d.dir())
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
		return fmt.Errorf("%w\n\nThe logs are in %s: head*.log of the controllers, *.console of the machines.\n"+
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
	for _, stage := range []func(context.Context, guest) error{d.bootInPeace, d.bootThroughKill, d.bootInPeace, d.bootFromPeers} {
		if err := stage(ctx, all[0]); err != nil {
			return err
		}
		all = all[1:]
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

	if err := d.form(ctx); err != nil {
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

// form brings up the controllers.
func (d *demo) form(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	d.step("Three controllers, each on a host of its own")
	if d.network, err = lab.NewNetwork(networkName, true); err != nil {
		return err
	}
	if d.cluster, err = d.network.AddCluster(controllers, d.binary, d.dir()); err != nil {
		return err
	}
	d.say("network namespace %s: bridge %s, controllers from %s on, machines in %s", networkName, lab.Bridge, lab.ControllerAddress, lab.Subnet)
	if d.ssh, err = lab.NewSSH(d.network, d.dir()); err != nil {
		return err
	}
	for i, c := range d.cluster.Controllers {
		if i == 0 {
			d.controller = c
			d.say("%s$ samara init …", c.Host.ID)
			err = c.Init(ctx, "demo", d.ssh.PublicKey())
		} else {
			d.say("%s$ samara controller join %s --token …", c.Host.ID, d.controller.Host.Address)
			err = c.Join(ctx, d.controller)
		}
		if err != nil {
			return err
		}
		if err := d.serve(ctx, c); err != nil {
			return err
		}
	}
	if err := d.cluster.WaitWhole(ctx); err != nil {
		return err
	}
	d.say("%s$ samara controller list", d.controller.Host.ID)
	list, err := d.controller.Run(ctx, "controller", "list")
	d.say("%s", strings.TrimRight(list, "\n"))
	return err
}

// serve starts a controller, which runs on when the demo has ended.
func (d *demo) serve(ctx context.Context, c *lab.Controller) error {
	d.say("%s$ samara serve …", c.Host.ID)
	err := c.Serve(ctx)
	if p := c.Process(); p != nil && p.Ended() == nil {
		if err := d.record("samara serve on "+c.Host.ID, p); err != nil {
			return err
		}
	}
	return err
}

func (d *demo) bootInPeace(ctx context.Context, g guest) error { return d.boot(ctx, g, nil) }

// boot adds a node, switches its machine on and follows it until its system is up. What strikes meanwhile may be nil.
func (d *demo) boot(ctx context.Context, g guest, strikes func(context.Context, *lab.VM) error) error {
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
	f, err := d.follow(ctx, g, vm, strikes)
	d.figures = append(d.figures, f)
	if err != nil {
		return fmt.Errorf("%s does not come up: %w\n\nThe last lines of its console:\n%s", g.Name, err, vm.Console.Tail(30))
	}
	return nil
}

// follow waits until a machine is up, logs in, and returns its figures.
func (d *demo) follow(ctx context.Context, g guest, vm *lab.VM, strikes func(context.Context, *lab.VM) error) (lab.Figures, error) {
	beat, stop := context.WithCancel(ctx)
	defer stop()
	go lab.Heartbeat(beat, 5*time.Second, func() { d.sayProgress(beat, vm) })
	none := lab.Figures{Name: g.Name, Firmware: g.Firmware, Image: d.image.Root.Size}
	if strikes != nil {
		if err := strikes(ctx, vm); err != nil {
			return none, err
		}
	}
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

// bootThroughKill kills the controller that leads while a machine boots.
func (d *demo) bootThroughKill(ctx context.Context, g guest) error {
	leader, err := d.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	for _, c := range d.cluster.Controllers {
		if c != leader {
			d.controller = c
		}
	}
	d.step("While %s loads its image, %s, which leads, will be killed", g.Name, leader.Host.ID)
	if err := d.boot(ctx, g, func(ctx context.Context, vm *lab.VM) error { return d.kill(ctx, vm, leader) }); err != nil {
		return err
	}
	next, err := d.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	d.say("  %s came up without %s; %s leads now", g.Name, leader.Host.ID, next.Host.ID)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := d.serve(ctx, leader); err != nil {
		return err
	}
	return d.cluster.WaitWhole(ctx)
}

// kill waits until a machine has half of its image, and kills a controller there.
func (d *demo) kill(ctx context.Context, vm *lab.VM, c *lab.Controller) error {
	var got int64
	err := vm.Capture(ctx, func(p lab.Packet) bool {
		if !p.Sent && p.TCP && p.From.Port() == fleet.DefaultPorts.Swarm {
			got += int64(p.Length)
		}
		return got >= d.image.Root.Size/2
	})
	if err != nil {
		return err
	}
	if err := d.forget(c.Process()); err != nil {
		return err
	}
	c.Kill()
	d.say("  %3d s  kill -9 of %s: %s has half of its image", int(time.Since(vm.On).Seconds()), c.Host.ID, vm.Name)
	return nil
}

// bootFromPeers boots a machine while nothing can be had of any controller's swarm port.
func (d *demo) bootFromPeers(ctx context.Context, g guest) error {
	port := fleet.DefaultPorts.Swarm
	d.step("The controllers' swarm port, %d, is cut off: what comes now can only get the image from its peers", port)
	for _, c := range d.cluster.Controllers {
		if err := c.Host.Cut(port); err != nil {
			return err
		}
	}
	if err := d.boot(ctx, g, nil); err != nil {
		return err
	}
	if f := d.figures[len(d.figures)-1]; f.Origin != 0 || f.Peers < f.Image {
		return fmt.Errorf("%s got %d bytes of its image from controllers and %d of %d from its peers; want none and all", g.Name, f.Origin, f.Peers, f.Image)
	}
	d.say("  not one byte of its image came from a controller")
	var errs []error
	for _, c := range d.cluster.Controllers {
		errs = append(errs, c.Host.Heal())
	}
	return errors.Join(errs...)
}
