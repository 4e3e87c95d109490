package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// An assignment gives a field of several objects a value each.
type assignment struct {
	flag   string   // that asks for it
	path   string   // of the field, or of what is to be taken away
	values []string // one for all, or one for each; "" takes away
}

// assignments returns what the flags say of n objects.
func (o *fieldFlags) assignments(ctx context.Context, c *api.Client, n int) ([]assignment, error) {
	var out []assignment
	for _, g := range o.gone {
		for _, word := range g.words {
			path, err := g.path(word)
			if err != nil {
				return nil, err
			}
			out = append(out, assignment{g.name, path, []string{""}})
		}
	}
	for _, v := range o.all {
		if v.flag == "" {
			continue
		}
		more, err := o.assign(ctx, c, v, n)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// assign returns what the flags of one field say.
func (o *fieldFlags) assign(ctx context.Context, c *api.Client, v *fieldValue, n int) ([]assignment, error) {
	if v.keyed() && len(v.words) > 0 {
		var out []assignment
		for _, word := range v.words {
			key, value, _ := strings.Cut(word, "=")
			path, err := o.path(v.field, key)
			if err != nil {
				return nil, err
			}
			out = append(out, assignment{v.flag, path, []string{value}})
		}
		return out, nil
	}
	path, err := o.path(v.field)
	if err != nil {
		return nil, err
	}
	path = strings.TrimSuffix(path, ".*") // all keys
	value := strings.Join(v.words, " ")
	if !v.field.NodeOnly || value == "" || v.field.Kind != fleet.KindAddress && v.field.Kind != fleet.KindMAC {
		return []assignment{{v.flag, path, []string{value}}}, nil
	}
	values := strings.Split(value, ",")
	if len(values) == 1 && n > 1 && v.field.Kind == fleet.KindAddress {
		if values, err = o.count(ctx, c, v, value, n); err != nil {
			return nil, err
		}
	}
	if len(values) != n {
		return nil, usagef("--%s: %d addresses for %d nodes; want one each, separated by commas", v.flag, len(values), n)
	}
	return []assignment{{v.flag, path, values}}, nil
}

// count returns n addresses from first on.
func (o *fieldFlags) count(ctx context.Context, c *api.Client, v *fieldValue, first string, n int) ([]string, error) {
	a, err := netip.ParseAddr(first)
	if err != nil || a.Zone() != "" {
		return nil, usagef("--%s %q: want an address such as 10.1.0.11", v.flag, first)
	}
	networks, err := c.Networks(ctx)
	if err != nil {
		return nil, err
	}
	maskOf := map[string]string{"interfaces.*.ip": "interfaces.*.netmask", "bmc.address": "bmc.netmask"}[v.field.Path]
	var mask fleet.Netmask
	for _, other := range o.all {
		if other.field.Path == maskOf && len(other.words) == 1 {
			if mask, err = fleet.ParseNetmask(other.words[0]); err != nil {
				return nil, fmt.Errorf("--%s: %w", other.flag, err)
			}
		}
	}
	all, err := addressesFrom(a, n, networks, mask)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", v.flag, err)
	}
	out := make([]string, n)
	for i := range all {
		out[i] = all[i].String()
	}
	return out, nil
}

// assignTo makes objects say what assignments ask for.
func assignTo(objects []fleet.Object, all []assignment) error {
	for _, a := range all {
		for i, o := range objects {
			value := a.values[0]
			if len(a.values) > 1 {
				value = a.values[i]
			}
			if err := setField(o, a.path, value); err != nil {
				if cause := errors.Unwrap(err); cause != nil && strings.HasPrefix(err.Error(), a.path+": ") {
					err = cause // the flag says where
				}
				return fmt.Errorf("--%s: %w", a.flag, err)
			}
		}
	}
	return nil
}
