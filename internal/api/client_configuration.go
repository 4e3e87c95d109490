package api

import (
	"context"
	"net/url"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
)

// Configuration returns all that people choose: now, or at an earlier revision, as far as the history goes back; 0 is now.
func (c *Client) Configuration(ctx context.Context, rev fleet.Revision) (Configuration, error) {
	query := url.Values{}
	if rev != 0 {
		query.Set(revisionParam, header(rev))
	}
	return readWith(ctx, c, getConfiguration, query)
}

// Edit puts and deletes objects of the configuration, all or none.
func (c *Client) Edit(ctx context.Context, e fleet.Edit, o ChangeOptions) (Change, error) {
	return change(ctx, c, editConfiguration, e, o)
}

// Rollback makes the configuration what it was at a revision. The error is fleet.ErrConflict if another changed it
// meanwhile, and fleet.ErrNotFound if the history does not go back so far.
func (c *Client) Rollback(ctx context.Context, to fleet.Revision, o ChangeOptions) (Change, error) {
	return change(ctx, c, rollbackTo, RollbackRequest{to}, o)
}

// A HistoryQuery says which changes to tell of. The zero value is the latest 100.
type HistoryQuery struct {
	Before fleet.Revision // those before that one; 0 is all
	Limit  int            // at most that many; 0 is 100
}

// History returns changes of the configuration, the latest first.
func (c *Client) History(ctx context.Context, q HistoryQuery) ([]HistoryEntry, error) {
	query := url.Values{}
	if q.Before != 0 {
		query.Set(beforeParam, header(q.Before))
	}
	if q.Limit != 0 {
		query.Set(limitParam, strconv.Itoa(q.Limit))
	}
	return readWith(ctx, c, listHistory, query)
}

// Compare returns how the configuration differs between two revisions; a to of 0 is now.
func (c *Client) Compare(ctx context.Context, from, to fleet.Revision) (Comparison, error) {
	query := url.Values{fromParam: {header(from)}}
	if to != 0 {
		query.Set(toParam, header(to))
	}
	return readWith(ctx, c, compareRevisions, query)
}

// Explain returns how a node would boot, and why not.
func (c *Client) Explain(ctx context.Context, node string) (Explanation, error) {
	return read(ctx, c, explainNode, node)
}
