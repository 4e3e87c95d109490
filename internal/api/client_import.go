package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/samara-hpc/samara/fleet"
)

// A Source is what an image is imported from: exactly one of Path and Stream is set.
type Source struct {
	Path   string    // absolute, of a directory or a tar file on the controller; over the Unix socket only
	Stream io.Reader // a tar stream; a last read of it may be under way when ImportImage has failed
	Name   string    // what the user called it

	Firmware bool // put the image's firmware of network cards into the initramfs
}

// maxLine bounds one line of an import's answer, in bytes.
const maxLine = 64 << 10

// ImportImage makes a new version of an image and returns it. It calls progress for each line that the controller
// sends. When ctx ends, the controller gives the import up.
func (c *Client) ImportImage(ctx context.Context, image string, from Source, why string, progress func(Progress)) (fleet.ImageVersion, error) {
	query := ChangeOptions{Why: why}.query()
	if from.Firmware {
		query.Set(firmwareParam, "1")
	}
	if len(c.targets) > 1 {
		// A stream cannot be sent twice: it goes to a controller that has just answered.
		if _, err := c.Status(ctx); err != nil {
			return fleet.ImageVersion{}, err
		}
	}
	to := c.targets[c.last.Load()]
	kind, body, err := from.open(ctx, query)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	defer func() { _ = body.Close() }()
	r, err := http.NewRequestWithContext(ctx, importImage.method, to.base+fill(importImage.pattern, []string{image})+encodeQuery(query), body)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	r.Header.Set("Content-Type", kind)
	resp, err := c.http.Do(r)
	if err != nil {
		return fleet.ImageVersion{}, lost(ctx, to.at, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fleet.ImageVersion{}, refusalOf(ctx, to.at, resp)
	}
	defer func() { _ = resp.Body.Close() }()
	var made fleet.ImageVersion
	err = eachLine(ctx, resp, to.at, "image", func(line importLine) (bool, error) {
		switch {
		case line.Error != nil:
			return true, line.Error.asError()
		case line.Version != nil:
			made = *line.Version
			return true, nil
		case line.Progress != nil:
			progress(*line.Progress)
		}
		return false, nil
	})
	return made, err
}

// open returns the body of a request to import s, and its type. A read of the body ends with ctx, or when it is closed.
func (s Source) open(ctx context.Context, query url.Values) (kind string, body io.ReadCloser, err error) {
	if s.Stream == nil {
		b, err := json.Marshal(importBody{Path: s.Path, Source: s.Name})
		if err != nil {
			return "", nil, fmt.Errorf("encode request: %w", err)
		}
		return jsonType, io.NopCloser(bytes.NewReader(b)), nil
	}
	query.Set(sourceParam, s.Name)
	// The transport waits for a read of the body to return, whatever happens, and a read of somebody's pipe may never.
	// The goroutine that is left in it ends with that read.
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(w, s.Stream)
		_ = w.CloseWithError(err)
	}()
	return tarType, r, nil
}
