package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/samara-hpc/samara/test/lab"
)

// A state is what a later command must know to look at a demo and to end it.
type state struct {
	Complete  bool      `json:"complete"` // all machines have booted
	Processes []process `json:"processes"`
}

// A process is one that the demo started and left running.
type process struct {
	Name string `json:"name"`
	lab.PID
}

func (d *demo) dir() string       { return filepath.Join(d.out, "demo") }
func (d *demo) statePath() string { return filepath.Join(d.dir(), "state.json") }

// load returns the state of the demo in d.out; false if there is none.
func (d *demo) load() (state, bool, error) {
	var s state
	b, err := os.ReadFile(d.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, false, fmt.Errorf("state of the demo: %w; end what it names, then remove %s", err, d.dir())
	}
	return s, true, nil
}

// save writes the state, whole or not at all.
func (d *demo) save() error {
	b, err := json.MarshalIndent(d.state, "", "  ")
	if err != nil {
		return err
	}
	part := d.statePath() + ".part"
	if err := os.WriteFile(part, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(part, d.statePath())
}

// record notes a process that runs on when the demo has ended.
func (d *demo) record(name string, p *lab.Process) error {
	pid, err := p.PID()
	if err != nil {
		return errors.Join(err, p.Ended())
	}
	d.state.Processes = append(d.state.Processes, process{Name: name, PID: pid})
	return d.save()
}

// forget strikes a process from the record, which is about to end.
func (d *demo) forget(p *lab.Process) error {
	pid, err := p.PID()
	if err != nil {
		return errors.Join(err, p.Ended())
	}
	d.state.Processes = slices.DeleteFunc(d.state.Processes, func(r process) bool { return r.PID == pid })
	return d.save()
}

// running reports whether everything that s names is alive.
func (s state) running() bool {
	return s.Complete && !slices.ContainsFunc(s.Processes, func(p process) bool { return !p.Alive() })
}

// down ends the demo, as often as it is asked to.
func (d *demo) down() error {
	s, found, err := d.load()
	if err != nil {
		return err
	}
	_, err = lab.OpenNetwork(networkName)
	if !found && err != nil {
		d.say("no demo runs here, by what is in %s", d.dir())
		return os.RemoveAll(d.dir())
	}
	if err := d.remove(s); err != nil {
		return err
	}
	d.say("the demo is gone; the figures stay in %s, the Debian root filesystem in %s", d.figuresPath(), lab.CacheDir())
	return nil
}

// remove ends what a demo started and removes its network and its files.
func (d *demo) remove(s state) error {
	var errs []error
	for _, p := range slices.Backward(s.Processes) { // the controllers were the first, and go last
		if p.Alive() {
			d.say("ending %s (process %d)", p.Name, p.Number)
			errs = append(errs, p.End(10*time.Second))
		}
	}
	n, err := lab.OpenNetwork(networkName)
	switch {
	case err == nil:
		d.say("removing network namespace %s", networkName)
		errs = append(errs, n.Close())
	case !errors.Is(err, fs.ErrNotExist):
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(d.dir())
}
