package ipxe

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// assetParameter is the parameter of a script's URL by which a machine shows its asset tag.
const assetParameter = "asset"

// assetShown is that parameter as iPXE fills it in: the bytes of the asset tag of the chassis (SMBIOS type 3), two digits
// each with hyphens between, which no URL can mistake whatever the tag holds; nothing if the firmware has no tag. Builds
// since November 2010 know both words (iPXE, interface/smbios/smbios_settings.c and core/settings.c).
const assetShown = "?" + assetParameter + "=${asset:hexhyp}"

// maxAsset is how long an asset tag may be, in bytes.
const maxAsset = 256

// AskAsset returns the script by which a machine says its asset tag: it fetches its script again, with the tag in the
// URL, from the first controller that answers.
func AskAsset(mac fleet.MAC, controllers []fleet.Controller) []byte {
	var s script
	s.line("#!ipxe")
	s.chain(hyphens(mac)+assetShown, limit(controllers))
	s.line("echo %s", text("Samara: no controller answers"))
	s.retry(mac, limit(controllers), 10)
	return s.Bytes()
}

// ParseAsset returns the asset tag that a script's URL has, "" for a machine without one, and whether the machine was
// asked for it. Blanks around a tag, with which firmware fills its field, are no part of it. The error wraps
// fleet.ErrInvalid: the URL was not made by AskAsset, or the tag is longer than maxAsset.
func ParseAsset(query url.Values) (tag string, asked bool, err error) {
	if !query.Has(assetParameter) {
		return "", false, nil
	}
	shown := query.Get(assetParameter)
	if len(shown) > 3*maxAsset {
		return "", true, fmt.Errorf("%w asset tag: more than %d bytes", fleet.ErrInvalid, maxAsset)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(shown, "-", ""))
	if err != nil {
		return "", true, fmt.Errorf("%w asset tag %.40q: want hexadecimal digits", fleet.ErrInvalid, shown)
	}
	return strings.Trim(string(b), " \t\x00"), true, nil
}
