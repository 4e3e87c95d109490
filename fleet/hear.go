package fleet

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// errNoField means that a path leads to nothing that can be set.
var errNoField = errors.New("no such field")

// Set makes n say a value of a field, given as text: path and value have the form that Values has. "" takes away what n
// says there, so that its profiles hold. A path that ends earlier, such as "interfaces.ib0", "tags" or "bmc", stands for
// all below it, which can be taken away. Of a password, "" takes the present one away too. What n holds is not modified
// in place. The error wraps ErrInvalid.
func (n *Node) Set(path, value string) error {
	names, err := splitNames(path)
	if err != nil {
		return err
	}
	err = hearRows(settingsOfNode.above, n, names, value)
	if errors.Is(err, errNoField) {
		err = hearRows(settingsTable, &n.Settings, names, value)
	}
	if errors.Is(err, errNoField) {
		err = hearRows(settingsOfNode.below, n, names, value)
	}
	switch {
	case errors.Is(err, errNoField):
		return fmt.Errorf("%w field %.100q: there is none of that name that can be set", ErrInvalid, path)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Set makes p say a value of a field, as Node.Set does.
func (p *Profile) Set(path, value string) error {
	if f, ok := FieldOf(path); ok && f.NodeOnly {
		return fmt.Errorf("%w profile %s: %s is each node's own; set it on the nodes", ErrInvalid, p.Name, path)
	}
	n := Node{Comment: p.Comment, Profiles: p.Profiles, Settings: p.Settings}
	if err := n.Set(path, value); err != nil {
		return err
	}
	p.Comment, p.Profiles, p.Settings = n.Comment, n.Profiles, n.Settings
	return nil
}

// PathOf returns the path of a field of which users choose names: each "*" of the field's path is one of them, in order.
func PathOf(f Field, names ...string) string {
	path := f.Path
	var b strings.Builder
	for _, name := range names {
		before, after, found := strings.Cut(path, "*")
		if !found {
			break
		}
		b.WriteString(before + pathKey(name))
		path = after
	}
	return b.String() + path
}

// splitNames returns the names in a path, without quotes.
func splitNames(path string) ([]string, error) {
	names := splitPath(path)
	for at, name := range names {
		if !strings.HasPrefix(name, `"`) {
			continue
		}
		plain, err := strconv.Unquote(name)
		if err != nil {
			return nil, fmt.Errorf("%w field %.100q: want names in quotes as Go has them", ErrInvalid, path)
		}
		names[at] = plain
	}
	return names, nil
}

// hearRows has the row hear that a path begins with. The error is errNoField if there is none.
func hearRows[T any](rows []attribute[T], of *T, path []string, value string) error {
	for i := range rows {
		if rows[i].name == path[0] && rows[i].hear != nil {
			return rows[i].hear(of, path, value)
		}
	}
	return errNoField
}

// clearRows takes away what of says by each row; a value is none that it could say instead.
func clearRows[T any](rows []attribute[T], of *T, value string) error {
	if value != "" {
		return errNoField
	}
	for i := range rows {
		if rows[i].hear == nil {
			continue
		}
		if err := rows[i].hear(of, []string{rows[i].name}, ""); err != nil {
			return err
		}
	}
	return nil
}

// hearKeyed sets the value of one key of a map, or takes it away, or all of them.
func hearKeyed[V any](at *map[string]V, path []string, value string, parse func(string) (V, error)) error {
	switch {
	case len(path) > 2 || len(path) == 1 && value != "":
		return errNoField
	case len(path) == 1:
		*at = nil
		return nil
	}
	all := maps.Clone(*at)
	if value == "" {
		delete(all, path[1])
		*at = all
		return nil
	}
	v, err := parse(value)
	if err != nil {
		return err
	}
	if all == nil {
		all = map[string]V{}
	}
	all[path[1]] = v
	*at = all
	return nil
}

// hearPart returns parts in which the one that a path names has heard what follows, or is gone, or is there now.
func hearPart[U any](parts []U, name func(*U) *string, rows []attribute[U], path []string, value string) ([]U, error) {
	if len(path) < 3 && value != "" {
		return nil, errNoField
	}
	if len(path) == 1 {
		return nil, nil
	}
	found := slices.IndexFunc(parts, func(u U) bool { return *name(&u) == path[1] })
	switch {
	case len(path) == 2 && found < 0:
		return parts, nil
	case len(path) == 2:
		return slices.Delete(slices.Clone(parts), found, found+1), nil
	}
	var one U
	*name(&one) = path[1]
	if found >= 0 {
		one = parts[found]
	}
	if err := hearRows(rows, &one, path[2:], value); err != nil {
		return nil, err
	}
	switch all := slices.Clone(parts); {
	case found >= 0:
		all[found] = one
		return all, nil
	case value == "":
		return parts, nil
	default:
		return append(all, one), nil
	}
}

// parseOrNone returns the zero value for "", and else what parse makes of it.
func parseOrNone[V any](s string, parse func(string) (V, error)) (V, error) {
	if s == "" {
		var none V
		return none, nil
	}
	return parse(s)
}

func parseNumber[V ~int | ~int64](s string) (V, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || int64(V(n)) != n {
		return 0, fmt.Errorf("%w number %.40q: want decimal digits", ErrInvalid, s)
	}
	return V(n), nil
}

func parseTruth(s string) (*bool, error) {
	var is bool
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		is = true
	case "false", "no", "off", "0":
	default:
		return nil, fmt.Errorf("%w value %.40q: want true or false", ErrInvalid, s)
	}
	return &is, nil
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%w address %.60q: want one such as 10.1.0.11", ErrInvalid, s)
	}
	return a, nil
}
