package api

import (
	"net/http"
	"time"
)

// The query parameters of a backup and of a removal, each with the value "1".
const (
	blobsParam = "blobs" // the backup holds blobs too
	forceParam = "force" // the controller goes, whatever that costs
)

// backup sends a backup as it is made. If that fails in the middle, the connection is cut before the end of the body is
// marked, so that no client takes the part for the whole.
func (s *Server) backup(w http.ResponseWriter, r *request) error {
	if s.Backups == nil {
		return errNotHere("backups")
	}
	blobs, err := flagOf(r.Request, blobsParam)
	if err != nil {
		return err
	}
	ctx, cancel := s.untilRevoked(r.Context(), r)
	defer cancel()
	w.Header().Set("Content-Type", octetType)
	out := &pacedWriter{w: w, c: http.NewResponseController(w)}
	err = s.Backups.Write(ctx, out, blobs)
	switch {
	case err == nil:
		// The end of the body is written after this returns.
		return out.c.SetWriteDeadline(time.Now().Add(chunkTime))
	case !out.begun:
		return err
	}
	if out.err == nil {
		s.Logger.Error("a backup failed in the middle", "to", r.who, "err", err)
	}
	return cut(out.c)
}

// cut ends the connection of an answer that has begun and cannot be completed: what would end the body cannot be
// written any more.
func cut(c *http.ResponseController) error {
	return c.SetWriteDeadline(time.Unix(1, 0))
}
