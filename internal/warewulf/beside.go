package warewulf

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// Beside returns the site as it can be applied to a cluster that has networks already. Of a network that is there, be it
// under another name, what the cluster says holds: it may answer DHCP by now. A name that stands for another subnet there
// is changed here.
func (s Site) Beside(present []fleet.Network) Site {
	taken := map[string]bool{}
	for _, n := range slices.Concat(present, s.Documents.Networks) {
		taken[n.Name] = true
	}
	s.places = maps.Clone(s.places)
	var kept []fleet.Network
	var notes []Finding
	there, renamed := map[string]string{}, map[string]string{} // what networks are called here, by their names at the site
	for _, n := range s.Documents.Networks {
		at, _ := s.Where(fleet.ObjectNetwork, n.Name, "")
		note := func(o Outcome, text, do string) {
			notes = append(notes, Finding{Outcome: o, File: at.File, Line: at.Line, Count: 1, Field: "network " + n.Name, Text: text, Do: do})
		}
		if i := slices.IndexFunc(present, func(p fleet.Network) bool { return p.Subnet.Overlaps(n.Subnet) }); i >= 0 {
			p := present[i]
			there[n.Name] = p.Name
			if p.Subnet.Bits() <= n.Subnet.Bits() {
				note(Moot, fmt.Sprintf("the cluster has network %s, %s, which stays as it is", p.Name, p.Subnet), "")
			} else {
				note(Left, fmt.Sprintf("the cluster has network %s, %s, which is only a part of %s", p.Name, p.Subnet, n.Subnet), "see which of both is right; samara network set "+p.Name+" --subnet SUBNET")
			}
			continue
		}
		if slices.ContainsFunc(present, func(p fleet.Network) bool { return p.Name == n.Name }) {
			was := n.Name
			for i := 2; taken[n.Name]; i++ {
				n.Name = fmt.Sprintf("%.60s-%d", was, i)
			}
			taken[n.Name] = true
			renamed[was] = n.Name
			s.places[place{ref{fleet.ObjectNetwork, n.Name}, ""}] = at
			note(Fixed, fmt.Sprintf("the cluster has another network %s; this one, %s, is %s", was, n.Subnet, n.Name), "")
		}
		kept = append(kept, n)
	}
	slices.SortFunc(kept, func(a, b fleet.Network) int { return hostlist.Compare(a.Name, b.Name) })
	s.Documents.Networks = kept
	s.Report.Findings = slices.Clone(s.Report.Findings)
	s.speakOf(there, renamed)
	s.Report.Findings = append(s.Report.Findings, notes...)
	s.Report.sort()
	return s
}

// speakOf has findings call networks what the cluster calls them: in what is to be done all of them, and otherwise those
// that are taken.
func (s *Site) speakOf(present, taken map[string]string) {
	all := maps.Clone(present)
	maps.Copy(all, taken)
	do, text := networkWords(all), networkWords(taken)
	for i := range s.Report.Findings {
		f := &s.Report.Findings[i]
		f.Text, f.Do = text.Replace(f.Text), do.Replace(f.Do)
	}
}

// networkWords replaces names of networks where findings have them; in one go, since one may be the former name of another.
func networkWords(called map[string]string) *strings.Replacer {
	var pairs []string
	for was, is := range called {
		for _, before := range []string{"network ", "network set "} {
			for _, after := range []string{" ", ","} {
				pairs = append(pairs, before+was+after, before+is+after)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}
