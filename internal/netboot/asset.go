package netboot

import (
	"crypto/subtle"
	"fmt"
	"net/url"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/ipxe"
)

// showsAsset reports whether a machine that fetches n's script with query was asked for its asset tag, and why it is not
// the machine that n's asset key names. The reason has what the machine showed, and never the key.
func showsAsset(n fleet.Node, query url.Values) (asked bool, reason error) {
	tag, asked, err := ipxe.ParseAsset(query)
	switch {
	case err != nil:
		return asked, fmt.Errorf("node %s: %w", n.Name, err)
	case !asked || tag != "" && subtle.ConstantTimeCompare([]byte(tag), []byte(strings.TrimSpace(n.AssetKey))) == 1:
		return asked, nil
	case tag == "":
		return true, fmt.Errorf("node %s wants an asset key, and this machine has no asset tag; write one with its firmware's setup, or samara node unset %s --asset", n.Name, n.Name)
	}
	return true, fmt.Errorf("node %s wants another asset key than %.64q, the asset tag of this machine; if it is %s all the same: samara node set %s --asset TAG", n.Name, tag, n.Name, n.Name)
}
