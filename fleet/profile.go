package fleet

import (
	"fmt"
	"slices"
)

// A Profile is settings that nodes share.
type Profile struct {
	Name     string   `json:"name"`
	Comment  string   `json:"comment,omitempty"`
	Profiles []string `json:"profiles,omitempty"` // which it adds to; "~" before a name drops that one: see State.Resolve
	Settings
	Revision Revision `json:"revision,omitempty"` // of the last change to this profile
}

// clone returns a copy of p that shares nothing with it.
func (p Profile) clone() Profile {
	p.Profiles = slices.Clone(p.Profiles)
	p.Settings = p.Settings.clone()
	return p
}

// MaxProfiles bounds the profiles of a cluster.
const MaxProfiles = 1000

// check validates what can be said of p alone.
func (p Profile) check() error {
	if err := CheckLabel("profile", p.Name); err != nil {
		return err
	}
	if p.Name == SourceNode {
		return fmt.Errorf("%w profile name %q: it stands for the node itself where values are explained", ErrInvalid, p.Name)
	}
	if err := p.Settings.checkFormer("profile", p.Name); err != nil {
		return err
	}
	if err := p.Settings.check(); err != nil {
		return fmt.Errorf("profile %s: %w", p.Name, err)
	}
	if err := checkBesides("profile", p.Name, p.Comment, p.Profiles); err != nil {
		return err
	}
	var own error
	p.Settings.say(func(f *Field, path, _ string, _ []string) {
		if f.NodeOnly && own == nil {
			own = fmt.Errorf("%w profile %s: %s is each node's own; set it on the nodes", ErrInvalid, p.Name, path)
		}
	})
	return own
}

func (s State) storeProfile(p Profile, rev Revision) State {
	p.Revision = rev
	s = s.note(Ref{ObjectProfile, p.Name})
	s.profiles = s.profiles.put([]byte(p.Name), &p)
	return s
}

func (s State) deleteProfile(name string) State {
	s = s.note(Ref{ObjectProfile, name})
	s.profiles = s.profiles.drop([]byte(name))
	return s
}
