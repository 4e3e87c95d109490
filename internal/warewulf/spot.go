package warewulf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A spot is one value of a file on its way to its place here: which object it is of, and what both sides call it.
type spot struct {
	r      *reader
	of     ref
	theirs string // with "*" for names that the site chose: "network devices.*.hwaddr"
	ours   string // likewise: "interfaces.*.mac"; "" if there is no such place
	path   string // ours, with names
	line   int
	v      *value
}

func (s spot) taken() {
	if s.ours == "" {
		return // it is used, and has no place of its own
	}
	s.r.note(Taken, s.line, s.of, s.theirs, s.ours, "")
	s.r.places[place{s.of, s.path}] = s.line
}

func (s spot) fixed(text, do string) { s.r.note(Fixed, s.line, s.of, s.theirs, text, do) }

func (s spot) left(text, do string) { s.r.note(Left, s.line, s.of, s.theirs, text, do) }

// moot says that nothing here needs it.
func (s spot) moot(text string) { s.r.note(Moot, s.line, s.of, s.theirs, text, "") }

// fixedf and leftf say nothing of what to do.
func (s spot) fixedf(format string, args ...any) { s.fixed(fmt.Sprintf(format, args...), "") }

func (s spot) leftf(format string, args ...any) { s.left(fmt.Sprintf(format, args...), "") }

// unset are the words by which Warewulf's commands clear a field. Some releases wrote them into the file.
func unset(text string) bool {
	switch text {
	case "UNSET", "UNDEF", "DELETE", "undef", "--", "nil":
		return true
	}
	return false
}

// word returns the text of a scalar; false if there is none, which is said if it is wrong.
func (s spot) word() (string, bool) {
	switch {
	case s.v.kind == null:
		return "", false
	case s.v.kind != scalar:
		s.left("one value is wanted here", "say it as text")
		return "", false
	case unset(s.v.text):
		s.fixedf("%s means that nothing is said", s.v.text)
		return "", false
	}
	text := strings.TrimSpace(s.v.text)
	return text, text != ""
}

// text takes a text.
func (s spot) text(to *string) {
	if t, ok := s.word(); ok {
		*to = t
		s.taken()
	}
}

// words returns a list. Older releases wrote it as one text, with one of cut between the words.
func (s spot) words(cut string) []string {
	var words []string
	switch s.v.kind {
	case mapping:
		s.left("a list is wanted here", "say it as a list")
	case scalar:
		if t, ok := s.word(); ok {
			words = strings.FieldsFunc(t, func(r rune) bool { return strings.ContainsRune(cut, r) })
			s.fixedf("written as one text; it is a list")
		}
	case list:
		for _, item := range s.v.items {
			switch {
			case item.kind == list || item.kind == mapping:
				s.left("an item of the list is no text", "say it as text")
			case item.kind == scalar && unset(item.text):
				s.fixedf("%s means that nothing is said", item.text)
			default:
				words = append(words, strings.TrimSpace(item.text))
			}
		}
	}
	var all []string
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			all = append(all, w)
		}
	}
	return all
}

// truth takes a yes or no, in any of the ways in which Warewulf writes it.
func (s spot) truth(to **bool) {
	t, ok := s.word()
	if !ok {
		return
	}
	yes, err := parseTruth(t)
	if err != nil {
		s.left("neither true nor false", "say true or false")
		return
	}
	if _, plain := s.v.plain.(bool); !plain {
		s.fixedf("written as text; it is %t", yes)
	}
	*to = &yes
	s.taken()
}

func parseTruth(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "y", "on":
		return true, nil
	case "no", "n", "off":
		return false, nil
	}
	return strconv.ParseBool(strings.ToLower(s))
}

// number takes a number, which Warewulf writes as text. 0 says nothing.
func number[T int | int64](s spot, to *T, most int64) {
	t, ok := s.word()
	if !ok {
		return
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(t, "/"), 10, 64)
	if err != nil || n < 0 || n > most {
		s.leftf("%.40q is no number from 0 to %d", t, most)
		return
	}
	if T(n) != 0 {
		*to = T(n)
		s.taken()
	}
}

// address takes an IP address. mask is what to do with the length of a prefix behind it; nil says that there is no place
// for it.
func (s spot) address(to *netip.Addr, mask func(bits int)) {
	t, ok := s.word()
	if !ok || t == "0.0.0.0" || t == "::" {
		return
	}
	a, err := netip.ParseAddr(t)
	if err != nil {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			s.leftf("%.60q is no IP address", t)
			return
		}
		a = p.Addr()
		s.fixedf("an address with the length of its prefix; both are taken")
		if mask != nil {
			mask(p.Bits())
		}
	}
	if a.Zone() != "" {
		s.leftf("%.60q is an address with a zone", t)
		return
	}
	*to = a.Unmap()
	s.taken()
}

// mask takes the mask of an IPv4 network, in any of the ways in which people write it.
func (s spot) mask(to *fleet.Netmask) {
	t, ok := s.word()
	if !ok || t == "0.0.0.0" {
		return
	}
	m, err := parseMask(t)
	if err != nil {
		s.left(fmt.Sprintf("%.40q is no netmask", t), "say it as 255.255.255.0")
		return
	}
	if m.String() != t {
		s.fixedf("written in another form; it is %s", m)
	}
	*to = m
	s.taken()
}

func parseMask(s string) (fleet.Netmask, error) {
	s = strings.TrimPrefix(s, "/")
	if digits, hex := strings.CutPrefix(strings.ToLower(s), "0x"); hex {
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return 0, err
		}
		s = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).String()
	}
	m, err := fleet.ParseNetmask(s)
	if err == nil && m == 0 {
		err = fleet.ErrInvalid
	}
	return m, err
}

// hardware takes a MAC address.
func (s spot) hardware(to *fleet.MAC) {
	t, ok := s.word()
	if !ok {
		return
	}
	m, err := parseMAC(t)
	switch n := len(hexDigits(t)); {
	case err == nil:
		*to = m
		s.taken()
	case n == 16 || n == 40:
		s.left("the address of an InfiniBand port, which has another form than that of an Ethernet card", "nodes do not boot by it; it is not needed")
	default:
		s.left(fmt.Sprintf("%.60q is no MAC address that a machine can have", t), "look it up and set it")
	}
}

// parseMAC reads what fleet.ParseMAC reads, and the form with dots.
func parseMAC(s string) (fleet.MAC, error) {
	if strings.Count(s, ".") == 2 {
		s = strings.ReplaceAll(s, ".", "")
	}
	return fleet.ParseMAC(s)
}

func hexDigits(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'f', r >= 'A' && r <= 'F':
			return r
		}
		return -1
	}, s)
}

// tags takes texts by keys, and adds them to those that are there.
func (s spot) tags(to *map[string]string) {
	if s.v.kind == null {
		return
	}
	if s.v.kind != mapping {
		s.left("keys and values are wanted here", "say them as KEY: VALUE")
		return
	}
	for _, e := range s.v.entries {
		one := s.inside(e, e.key)
		if fleet.CheckLabel("tag", e.key) != nil {
			one.left(fmt.Sprintf("%.60q cannot be the key of a tag", e.key), "want letters, digits and inner - _ .")
			continue
		}
		var text string
		one.text(&text)
		if text == "" {
			continue
		}
		if *to == nil {
			*to = map[string]string{}
		}
		(*to)[e.key] = text
	}
}

// without takes keys out of what tags took, as a list says.
func (s spot) without(from *map[string]string) {
	if s.v.kind == null {
		return
	}
	for _, item := range s.v.items {
		delete(*from, item.text)
	}
	if len(*from) == 0 {
		*from = nil
	}
	s.fixedf("the tags that it names are gone, and so is the list")
}
