package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

// selections completes the last item of a selection of nodes from the live cluster.
func (g *global) selections(enough int) completion {
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		head, item := cutItem(word)
		list := nodeNames
		switch {
		case strings.HasPrefix(item, "&"):
			list = conditionsOnNodes
		case strings.HasPrefix(strings.TrimPrefix(item, "!"), "@"):
			list = placeNames
		}
		if strings.HasPrefix(item, "!") {
			head += "!"
		}
		found, directive := g.names(enough, list)(c, args, word)
		return mapped(found, func(name string) string { return head + name }), directive
	}
}

// words completes the last of several names with commas between.
func (g *global) words(enough int, list func(context.Context, *api.Client) ([]string, error)) completion {
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		head, _ := cutItem(word)
		found, directive := g.names(enough, list)(c, args, word)
		return mapped(found, func(name string) string { return head + name }), directive
	}
}

// cutItem cuts what is being typed before its last item. What stands in open brackets is completed by nobody.
func cutItem(word string) (head, item string) {
	at := strings.LastIndexByte(word, ',') + 1
	return word[:at], word[at:]
}

func profileNames(ctx context.Context, c *api.Client) ([]string, error) {
	all, err := c.Profiles(ctx)
	return mapped(all, func(p api.ProfileView) string { return p.Name }), err
}

// placeNames returns racks and groups, as they stand in selections.
func placeNames(ctx context.Context, c *api.Client) ([]string, error) {
	all, err := c.Nodes(ctx)
	seen := map[string]bool{"@all": true}
	for _, n := range all {
		for _, place := range []string{n.Rack, n.Group} {
			if place != "" {
				seen["@"+place] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen)), err
}

// conditionsOnNodes returns conditions that selections often have.
func conditionsOnNodes(ctx context.Context, c *api.Client) ([]string, error) {
	all, err := c.Profiles(ctx)
	found := mapped(all, func(p api.ProfileView) string { return "&profile=" + p.Name })
	return append(found, "&cluster=", "&group=", "&image=", "&rack="), err
}
