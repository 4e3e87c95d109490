package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

// Controllers returns every controller, by id, as the one that answers sees them.
func (c *Client) Controllers(ctx context.Context) ([]ControllerView, error) {
	return read(ctx, c, listControllers)
}

// AddToken makes a word that lets one machine become a controller. A life of 0 is DefaultTokenLife.
func (c *Client) AddToken(ctx context.Context, life time.Duration, o ChangeOptions) (JoinToken, error) {
	return change(ctx, c, addToken, TokenRequest{Life: int64(life / time.Second)}, o)
}

// RemoveController takes a controller out of the cluster; with force, even if that costs the quorum or blobs.
func (c *Client) RemoveController(ctx context.Context, id string, force bool, o ChangeOptions) (Change, error) {
	query := o.query()
	if force {
		query.Set(forceParam, "1")
	}
	return changeWith(ctx, c, removeController, none{}, o, query, id)
}

// TransferLeadership hands the leadership to a controller; to any that is fit if to is "".
func (c *Client) TransferLeadership(ctx context.Context, to string) error {
	_, err := change(ctx, c, transferLeadership, TransferRequest{To: to}, ChangeOptions{})
	return err
}

// Backup writes a backup to w: the state, and with blobs what images need too. Its end mark and checksum are within; a
// Backup that fails has written a part.
func (c *Client) Backup(ctx context.Context, w io.Writer, blobs bool) error {
	query := url.Values{}
	if blobs {
		query.Set(blobsParam, "1")
	}
	q, err := newQuestion(getBackup, none{}, query, nil)
	if err != nil {
		return err
	}
	q.again, q.stream = repeatOnce, true
	resp, at, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	out := &firstError{w: w}
	if _, err = io.Copy(out, resp.Body); out.err != nil {
		return fmt.Errorf("write the backup: %w", out.err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the controller stopped before the backup was complete; its log says why: %w", err)
	}
	if err != nil {
		return lost(ctx, at, err)
	}
	return nil
}

// firstError remembers why a write failed, which io.Copy does not tell from why a read failed.
type firstError struct {
	w   io.Writer
	err error
}

func (w *firstError) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}
