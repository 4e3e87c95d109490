package bootagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Supervise is PID 1 of the initramfs. It mounts what every program needs, keeps the agent running, and becomes the
// image's init, with args and env, when the agent asks for it. It never returns: the kernel panics when PID 1 ends.
func Supervise(args, env []string) {
	failures := mountBasics("/")
	log := NewLog()
	useConsole(log)
	for _, err := range failures {
		log.Error("set up the initramfs", "err", err)
	}
	s := &supervisor{log: log, args: args, env: env, loglevel: showNotices()}
	for {
		err := s.run(context.Background())
		log.Error("PID 1 of the initramfs failed; starting over in 10 s", "err", err)
		_ = sleep(context.Background(), 10*time.Second)
	}
}

// A supervisor is the state of PID 1.
type supervisor struct {
	log       *slog.Logger
	args, env []string
	loglevel  string // what /proc/sys/kernel/printk held

	pid     int
	answers *os.File // PID 1's end of the pipe to the agent
	last    string   // how the agent before this one ended
	deaths  int
}

// restart is how soon a dead agent is started again.
var restart = backoff{Base: time.Second, Cap: 15 * time.Second}

// run starts the agent, again whenever it ends, and does what it asks.
func (s *supervisor) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := make(chan os.Signal, 1)
	signal.Notify(dead, unix.SIGCHLD)
	defer signal.Stop(dead)
	requests := make(chan []string)
	start := time.NewTimer(0)
	defer start.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-start.C:
			if err := s.spawn(ctx, requests); err != nil {
				s.log.Error("start the agent", "err", err)
				s.deaths++
				start.Reset(restart.delay(s.deaths))
			}
		case <-dead:
			if s.reap() {
				wait := restart.delay(s.deaths)
				s.log.Error(fmt.Sprintf("the agent %s; starting it again in %s", s.last, wait.Round(time.Millisecond)))
				s.deaths++
				start.Reset(wait)
			}
		case inits := <-requests:
			s.refuse(s.become(inits))
		}
	}
}

// spawn starts the agent: this program under another name.
func (s *supervisor) spawn(ctx context.Context, requests chan<- []string) error {
	fromAgent, agentRequests, err := os.Pipe()
	if err != nil {
		return err
	}
	agentAnswers, toAgent, err := os.Pipe()
	if err != nil {
		fromAgent.Close()
		agentRequests.Close()
		return err
	}
	defer agentRequests.Close()
	defer agentAnswers.Close()
	// Not os.StartProcess: it would want to wait for the agent itself, and this loop reaps whatever ends.
	pid, err := syscall.ForkExec("/proc/self/exe", []string{ChildName, s.last}, &syscall.ProcAttr{
		Env:   s.env,
		Files: []uintptr{0, 1, 2, agentRequests.Fd(), agentAnswers.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		fromAgent.Close()
		toAgent.Close()
		return err
	}
	s.pid, s.answers = pid, toAgent
	go func() {
		defer fromAgent.Close()
		readRequests(ctx, fromAgent, requests)
	}()
	return nil
}

// reap collects every process that has ended, and says whether the agent was among them.
func (s *supervisor) reap() (agent bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid <= 0:
			return agent
		case pid == s.pid:
			agent = true
			s.pid = 0
			s.last = describe(status)
			s.answers.Close()
		}
	}
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "was killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("ended with status %d", status.ExitStatus())
}

// become turns this process into one of inits, in the new root. It returns only if that could not be done.
func (s *supervisor) become(inits []string) error {
	init, err := findInit(newRoot, inits)
	if err != nil {
		return err
	}
	s.log.Info("switching to the image: " + init)
	if err := moveRoot(newRoot); err != nil {
		return err
	}
	restoreNotices(s.loglevel)
	err = syscall.Exec(init, append([]string{init}, s.args...), s.env)
	// The initramfs is gone, and with it the way back.
	err = fmt.Errorf("execute %s of the image: %w", init, err)
	s.refuse(err)
	wait := jitter(time.Minute)
	s.log.Error(fmt.Sprintf("cannot go on; rebooting in %s", wait.Round(time.Second)), "err", err)
	_ = sleep(context.Background(), wait)
	unix.Sync()
	return fmt.Errorf("reboot: %w", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

// refuse tells the agent why what it asked for was not done.
func (s *supervisor) refuse(reason error) {
	if s.pid != 0 {
		_, _ = fmt.Fprintf(s.answers, "refused %s\n", clip(reason.Error()))
	}
}
