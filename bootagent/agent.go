package bootagent

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// An agent is what the steps of a boot know and share. The steps run one after another in one goroutine; the reporter
// beside them uses what is guarded or set before it starts.
type agent struct {
	log      *slog.Logger
	place    place
	timeline *timeline
	line     cmdline
	link     *link // to PID 1
	bound    bound // the boot interface

	key      crypto.Signer
	session  *session
	manifest fleet.Manifest
	renewal  time.Time // when to ask for the next certificate
	refusals int       // of enrollments

	image  image
	roster roster
	policy policy

	enrolled chan struct{}  // closed when there is a manifest, which the reporter waits for
	once     sync.Once      // closes enrolled
	parts    sync.WaitGroup // goroutines that close waits for
}

func newAgent(log *slog.Logger, p place) *agent {
	return &agent{log: log, place: p, timeline: newTimeline(), enrolled: make(chan struct{})}
}

// An image is the node's copy of its root image.
type image struct {
	file *os.File

	mu       sync.Mutex
	client   *seeder.Client   // nil until its port is open
	download *seeder.Download // nil until it has begun
	offered  []netip.AddrPort // peers, and the origin if it may be asked, as a controller last named them
}

// Run boots the node it runs in and then seeds its image until ctx ends. reason says why the agent before this one
// ended, "" if there was none. It is called in the process that Supervise starts, and nowhere else.
func Run(ctx context.Context, log *slog.Logger, reason string) error {
	link, err := openLink()
	if err != nil {
		return err
	}
	// The kernel names a process after its file, and that was /proc/self/exe.
	if err := os.WriteFile("/proc/self/comm", []byte(strings.TrimPrefix(ChildName, "@")), 0); err != nil {
		log.Warn("name this process", "err", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	a := newAgent(log, place{dir: workDir, machine: true})
	a.link = link
	defer a.close()
	defer cancel()
	a.startReporter(ctx)
	detail := ""
	if reason != "" {
		detail = "the agent before this one " + reason
	}
	a.timeline.reach(fleet.PhaseAgent, detail)
	a.line, err = readCmdline()
	r := runner{log: log, timeline: a.timeline, reboot: reboot}
	if a.line.Rescue {
		r.rescue = func(ctx context.Context) { rescue(ctx, log) }
	}
	if err := r.run(ctx, a.steps(err)); err != nil {
		return err
	}
	return a.reside(ctx, true)
}

// steps are a boot. malformed is what was wrong with the command line, if anything.
func (a *agent) steps(malformed error) []step {
	return slices.Concat([]step{
		{"read the command line", "", 0, func(context.Context) (string, error) { return a.checkLine(malformed) }},
		{"load modules", "", 2 * time.Minute, a.loadModules},
		{"get an address", fleet.PhaseNetwork, time.Minute, a.bringUp},
	}, a.fetching(), []step{
		{"mount the image", "", time.Minute, a.mount},
		{"fill in the image", fleet.PhaseMounted, time.Minute, a.fillIn},
		{"switch to the image", fleet.PhaseSwitched, time.Minute, a.switchRoot},
		{"wait for the image's init", fleet.PhaseReady, 0, a.waitReady},
	})
}

// fetching are the steps from a boot token to a proven image.
func (a *agent) fetching() []step {
	return []step{
		{"enroll", fleet.PhaseManifest, 30 * time.Second, a.enroll},
		{"fetch the image", fleet.PhaseVerified, 0, a.fetch},
	}
}

func (a *agent) checkLine(malformed error) (string, error) {
	if malformed != nil {
		return "", hopeless{malformed}
	}
	a.session = newSession(a.line.Controllers, a.line.Pin)
	return fmt.Sprintf("%d controllers, boot interface %s", len(a.line.Controllers), orAny(a.line.BootMAC)), nil
}

func orAny(mac fleet.MAC) string {
	if mac == (fleet.MAC{}) {
		return "any"
	}
	return mac.String()
}

func (a *agent) loadModules(ctx context.Context) (string, error) {
	set, err := readModuleSet(moduleDir)
	if err != nil {
		return "", err
	}
	p := newProber(set, a.log)
	if err := p.probe(ctx, "/sys/devices"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d modules for %d devices", p.loaded(), len(p.seen)), nil
}

func (a *agent) bringUp(ctx context.Context) (string, error) {
	b, err := bringUp(ctx, a.line.BootMAC)
	if err != nil {
		return "", err
	}
	a.bound = b
	a.place.address = b.address.Prefix.Addr()
	return b.String(), nil
}

// layout is where the root file system is put together.
func (a *agent) layout() rootLayout {
	return rootLayout{image: a.place.image(a.manifest.Root.Digest), lower: lowerDir, rw: rwDir, root: newRoot}
}

func (a *agent) mount(context.Context) (string, error) {
	if err := a.layout().mount(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s version %d under an overlay", a.manifest.Image, a.manifest.Version), nil
}

func (a *agent) fillIn(context.Context) (string, error) {
	if err := fillIn(newRoot, a.manifest, a.bound.address); err != nil {
		return "", err
	}
	if err := unix.Sethostname([]byte(a.manifest.Node)); err != nil {
		return "", fmt.Errorf("set the host's name: %w", err)
	}
	return a.manifest.Node, nil
}

// switchRoot lets PID 1 become the image's init, and follows it into the new root.
func (a *agent) switchRoot(ctx context.Context) (string, error) {
	root, err := os.Open(newRoot)
	if err != nil {
		return "", err
	}
	defer root.Close()
	init, err := chooseInit(newRoot, a.line.Init, a.manifest)
	if err != nil {
		return "", err
	}
	if err := a.link.switchTo(ctx, []string{init}); err != nil {
		return "", err
	}
	if err := enter(root); err != nil {
		return "", err
	}
	if err := os.Remove(a.place.enrollment()); err != nil {
		a.log.Warn("forget the enrollment", "err", err)
	}
	return init, nil
}

// close ends what the steps began.
func (a *agent) close() {
	a.parts.Wait()
	if c, _ := a.image.swarm(); c != nil {
		c.Close()
	}
	if a.image.file != nil {
		_ = a.image.file.Close() // proven, or of no use
	}
	if a.session != nil {
		a.session.close()
	}
}

// reboot restarts the machine at once.
func reboot() error {
	unix.Sync()
	return fmt.Errorf("reboot: %w", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}
