package netboot

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/ipxe"
	"github.com/samara-hpc/samara/internal/netboot/tftp"
)

// resolve finds what TFTP and /loader serve: the loaders, and the script that newer ones look for beside themselves.
func (s *Server) resolve(name string) (string, []byte, error) {
	known, data, err := s.loaders.files.Resolve(name)
	if errors.Is(err, fs.ErrNotExist) {
		scripts := tftp.Files{autoexecScript: ipxe.Autoexec(s.controllersFor(fleet.MAC{}, s.cfg.State()).fetch)}
		if auto, script, autoErr := scripts.Resolve(name); autoErr == nil {
			return auto, script, nil
		}
	}
	return known, data, err
}

// transferred accounts for a TFTP request.
func (s *Server) transferred(t tftp.Transfer) {
	if t.Err != nil {
		s.counters.tftpFailed.Add(1)
		s.cfg.Logger.Debug("TFTP", "from", t.Client, "file", t.File, "err", t.Err)
		return
	}
	s.counters.tftp.Add(1)
	if mac, known := s.boots.at(s.cfg.State(), t.Client.Addr()); known && t.File != autoexecScript {
		s.boots.sent(mac, fleet.PhaseLoader, t.File+" by TFTP")
	}
}

// serveScript tells an iPXE what to do. Whoever asks gets a script, since a machine that is shown an HTTP error shows
// it to nobody.
func (s *Server) serveScript(w http.ResponseWriter, r *http.Request) {
	mac, err := fleet.ParseMAC(r.PathValue("mac"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead { // a boot token is minted for those that read it
		return
	}
	script, id, detail := s.script(mac, addressOf(r.RemoteAddr), r.URL.Query())
	if id != "" { // before the machine can go on to the next phase
		s.boots.sent(mac, fleet.PhaseScript, detail)
	}
	_, _ = w.Write(script) // a machine that did not get it asks again
}

// script returns what the machine with that MAC, which asked with query, is to run, and, if it is its boot, the boot's id
// and a word on it.
func (s *Server) script(mac fleet.MAC, from netip.Addr, query url.Values) (script []byte, id, detail string) {
	state := s.cfg.State()
	controllers := s.controllersFor(mac, state)
	plan, err := state.Plan(mac)
	switch {
	case errors.Is(err, fleet.ErrUnknown):
		s.counters.unknown.Add(1)
		now := time.Now()
		s.cfg.Observer.Unknown(fleet.UnknownMachine{MAC: mac, First: now, Last: now, Requests: 1, From: "http " + from.String(), Firmware: "iPXE"})
		cluster, _ := state.Cluster()
		if s.claim(state, mac, networkAt(state, from), now) {
			return ipxe.Discovered(mac, cluster.Name, controllers.fetch), "", ""
		}
		return ipxe.Unknown(mac, cluster.Name, controllers.fetch), "", ""
	case err != nil:
		return s.refuse(mac, err, controllers.fetch), "", ""
	}
	if plan.Node.AssetKey != "" {
		asked, err := showsAsset(plan.Node, query)
		switch {
		case !asked:
			return ipxe.AskAsset(mac, controllers.fetch), "", ""
		case err != nil:
			return s.refuse(mac, err, controllers.fetch), "", ""
		}
	}
	image := fmt.Sprintf("%s:%d", plan.Image, plan.Version.Number)
	if blob, err := s.missing(plan.Version); err != nil {
		err = fmt.Errorf("node %s: image %s: blob %s: %w", plan.Node.Name, image, blob.Short(), err)
		if len(controllers.files) == 1 {
			return s.refuse(mac, err, controllers.fetch), "", ""
		}
		controllers.files = append(slices.DeleteFunc(controllers.files, s.isSelf), s.cfg.Self) // the others may hold it
		s.complain(err.Error(), err)
	}
	id, token, err := s.cfg.Token(plan)
	if err != nil {
		return s.refuse(mac, fmt.Errorf("node %s: %w", plan.Node.Name, err), controllers.fetch), "", ""
	}
	script, err = ipxe.Boot{Plan: plan, Controllers: controllers.files, Control: controllers.ask, Pin: s.cfg.Pin, Token: token}.Script()
	if err != nil {
		return s.refuse(mac, err, controllers.fetch), "", ""
	}
	s.boots.script(mac, id, from)
	return script, id, image
}

// servers are the controllers for one machine, in the order in which it is to try them.
type servers struct {
	files []fleet.Controller // for its kernel and initramfs: those that are alive, spread over machines; peers that serve them would stand here, too
	fetch []fleet.Controller // for its next script: those that are alive, this one first
	ask   []fleet.Controller // for its agent: this one first, and last those that seem dead
}

// controllersFor returns the controllers for m. Machines differ in which they are to fetch their files from, whichever
// controller writes their script: relay agents and DHCP servers of a site may send all of them to one. They differ in
// which they try second, too, so that those of a dead controller spread over the others. Where nobody but this one seems
// to live the others are tried last: they cost a machine seconds, and a wrong suspicion would cost it the boot.
func (s *Server) controllersFor(m fleet.MAC, st fleet.State) servers {
	files := fleet.Order(m, s.live())
	for i := range files {
		if s.isSelf(files[i]) {
			files[i] = s.cfg.Self // which knows the port that it was given
		}
	}
	alive := append([]fleet.Controller{s.cfg.Self}, slices.DeleteFunc(slices.Clone(files), s.isSelf)...)
	cluster, _ := st.Cluster()
	rest := slices.DeleteFunc(fleet.Order(m, cluster.Controllers), func(c fleet.Controller) bool {
		return slices.ContainsFunc(alive, func(a fleet.Controller) bool { return a.ID == c.ID })
	})
	all := slices.Concat(alive, rest)
	if len(alive) < 2 {
		return servers{files: slices.Clone(all), fetch: slices.Clone(all), ask: all}
	}
	return servers{files: files, fetch: alive, ask: all}
}

// refuse tells the machine, its timeline and the log why a node cannot boot for now.
func (s *Server) refuse(mac fleet.MAC, reason error, controllers []fleet.Controller) []byte {
	s.complain(mac.String(), reason)
	s.cfg.Observer.Refused(mac, reason.Error())
	return ipxe.Refusal(mac, reason.Error(), controllers)
}

// complain logs a reason, unless it has logged one of that key within the last minute.
func (s *Server) complain(key string, reason error) {
	if s.hush.says(key, time.Now()) {
		s.cfg.Logger.Warn("a node cannot be booted by this controller", "err", reason)
	}
}
