package dhcp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/samara-hpc/samara/fleet"
)

// A Client is what a request says of the machine that sent it.
type Client struct {
	MAC         fleet.MAC
	Kind        Kind
	Arch        iana.Arch // the first of option 93 that Samara has a loader for, else the first; meaningless if Plain
	VendorClass string    // option 60, printable ASCII, at most 128 bytes
	UUID        string    // option 97 in the order of the wire, "" if absent or malformed
	HTTP        bool      // IPXE only: this build can fetch over HTTP
}

// A Kind says which program is asking, and so what it can be told to fetch.
type Kind int

// The kinds of client.
const (
	Plain    Kind = iota // an operating system or the agent: wants an address and no boot file
	PXE                  // firmware that fetches by TFTP: option 60 begins with PXEClient (PXE 2.1, 2.2.1)
	HTTPBoot             // UEFI firmware that fetches by HTTP: option 60 begins with HTTPClient (UEFI 2.10, 24.7.3.1)
	IPXE                 // iPXE, from a ROM or chain-loaded: option 77 holds "iPXE"
)

// Vendor classes (option 60) that firmware sends and wants to see in answers to it.
const (
	classPXE  = "PXEClient"
	classHTTP = "HTTPClient"
)

// Boots reports whether the client wants to be told what to boot.
func (c Client) Boots() bool { return c.Kind != Plain }

// Firmware names the client's platform for people, "" if it is Plain.
func (c Client) Firmware() string {
	switch name := platformOf(c.Arch).String(); c.Kind {
	case PXE:
		return name
	case HTTPBoot:
		return name + " HTTP"
	case IPXE:
		return "iPXE " + name
	default:
		return ""
	}
}

// A platform is what a loader is built for.
type platform int

const (
	unsupported platform = iota
	bios
	x64
	ia32
	arm64
)

// String names the platform for people.
func (p platform) String() string {
	switch p {
	case bios:
		return "BIOS"
	case x64:
		return "UEFI x86-64"
	case ia32:
		return "UEFI IA32"
	case arm64:
		return "UEFI arm64"
	default:
		return "unsupported firmware"
	}
}

// platformOf maps the processor architecture types of option 93 (RFC 4578, 2.1, as amended by the IANA registry
// "Processor Architecture Types"). RFC 4578 and the registry disagree about 7 and 9, and x86-64 firmware sends
// either; 17 is the HTTP twin of 9. 6 and 15 are 32-bit UEFI, which cannot start a 64-bit loader.
func platformOf(a iana.Arch) platform {
	switch a {
	case iana.INTEL_X86PC:
		return bios
	case iana.EFI_X86_64, iana.EFI_BC, iana.EFI_X86_64_HTTP, iana.EFI_BC_HTTP:
		return x64
	case iana.EFI_IA32, iana.EFI_X86_HTTP:
		return ia32
	case iana.EFI_ARM64, iana.EFI_ARM64_HTTP:
		return arm64
	default:
		return unsupported
	}
}

// ErrMalformed means that a datagram is not a DHCP request of an Ethernet machine. It is to be counted and dropped.
var ErrMalformed = errors.New("malformed DHCP request")

// Parse decodes a datagram. Its error wraps ErrMalformed. The result shares no memory with b.
//
// A missing End option (RFC 2132, 3.2) is forgiven: some relay agents and old ROMs send none.
func Parse(b []byte) (*dhcpv4.DHCPv4, error) {
	withEnd := make([]byte, len(b)+1)
	copy(withEnd, b)
	withEnd[len(b)] = byte(dhcpv4.OptionEnd.Code())
	req, err := dhcpv4.FromBytes(withEnd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return req, nil
}

// ParseClient reads what req says of its sender. Its error wraps ErrMalformed.
func ParseClient(req *dhcpv4.DHCPv4) (Client, error) {
	if req.OpCode != dhcpv4.OpcodeBootRequest {
		return Client{}, fmt.Errorf("%w: operation %d is not a request", ErrMalformed, req.OpCode)
	}
	if req.HWType != iana.HWTypeEthernet || len(req.ClientHWAddr) != len(fleet.MAC{}) {
		return Client{}, fmt.Errorf("%w: hardware type %d with an address of %d bytes is not Ethernet", ErrMalformed, req.HWType, len(req.ClientHWAddr))
	}
	c := Client{MAC: fleet.MAC(req.ClientHWAddr)}
	if c.MAC == (fleet.MAC{}) || c.MAC[0]&1 != 0 {
		return Client{}, fmt.Errorf("%w: %x is no machine's own address", ErrMalformed, req.ClientHWAddr)
	}
	class := string(req.Options.Get(dhcpv4.OptionClassIdentifier))
	c.VendorClass = printable(class)
	c.UUID = uuidOf(req.Options.Get(dhcpv4.OptionClientMachineIdentifier))
	switch {
	case isIPXE(req.Options.Get(dhcpv4.OptionUserClassInformation)):
		c.Kind = IPXE
		c.HTTP = fetchesHTTP(req.Options)
	case strings.HasPrefix(class, classHTTP):
		c.Kind = HTTPBoot
	case strings.HasPrefix(class, classPXE):
		c.Kind = PXE
	}
	c.Arch = archOf(req.Options.Get(dhcpv4.OptionClientSystemArchitectureType), class)
	return c, nil
}

// archOf reads option 93: a list of 16-bit types (RFC 4578, 2.1), found in the field with 0 or 1 bytes as well. Then
// the vendor class counts, whose form is PXEClient:Arch:00007:UNDI:003016 (PXE 2.1, table 2-1); failing that, the
// client is a BIOS.
func archOf(option []byte, class string) iana.Arch {
	var first iana.Arch
	for i := 0; i+1 < len(option); i += 2 {
		a := iana.Arch(option[i])<<8 | iana.Arch(option[i+1])
		if p := platformOf(a); p != unsupported && p != ia32 {
			return a
		}
		if i == 0 {
			first = a
		}
	}
	if len(option) >= 2 {
		return first
	}
	_, rest, found := strings.Cut(class, ":Arch:")
	digits, _, _ := strings.Cut(rest, ":")
	if n, err := strconv.ParseUint(digits, 10, 16); found && err == nil {
		return iana.Arch(n)
	}
	return iana.INTEL_X86PC
}

// isIPXE reads option 77. RFC 3004, 4, has a list of length-prefixed classes; iPXE sends its name bare.
func isIPXE(option []byte) bool {
	const name = "iPXE"
	if string(option) == name {
		return true
	}
	for len(option) > 0 {
		n := int(option[0])
		if n == 0 || n > len(option)-1 {
			return false
		}
		if string(option[1:1+n]) == name {
			return true
		}
		option = option[1+n:]
	}
	return false
}

// featureHTTP is the tag within option 175 by which iPXE says that it was built with HTTP (iPXE, ipxe/features.h).
const featureHTTP = 0x13

// fetchesHTTP reads iPXE's feature list, the suboptions of option 175. An iPXE that sends no list, or a torn one, is
// taken to have HTTP, as every distribution's build does.
func fetchesHTTP(options dhcpv4.Options) bool {
	list := options.Get(dhcpv4.OptionEtherboot)
	if len(list) == 0 {
		return true
	}
	for i := 0; i < len(list); {
		tag := list[i]
		if tag == 0 {
			i++
			continue
		}
		if tag == 255 {
			return false
		}
		if i+1 >= len(list) || i+2+int(list[i+1]) > len(list) {
			return true
		}
		value := list[i+2 : i+2+int(list[i+1])]
		if tag == featureHTTP {
			return len(value) == 0 || value[0] != 0
		}
		i += 2 + len(value)
	}
	return false
}

// uuidOf reads option 97: a type, 0, and 16 bytes (RFC 4578, 2.3).
func uuidOf(option []byte) string {
	if len(option) != 17 || option[0] != 0 {
		return ""
	}
	h := hex.EncodeToString(option[1:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// printable returns at most 128 bytes of s with every byte that is not printable ASCII replaced, so that it is safe
// in a table, a log and a page.
func printable(s string) string {
	if len(s) > 128 {
		s = s[:128]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
