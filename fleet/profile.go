package fleet

import "slices"

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
