package fleet

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
)

// packFrom is from how many bytes on an entry is packed, in clusters whose format has that.
const packFrom = 64 << 10

// packedByte is the first byte of a packed entry; DEFLATE (RFC 1951) follows. All others begin with an opening brace.
const packedByte = 'D'

// pack returns an encoded entry in fewer bytes.
func pack(name string, b []byte) ([]byte, error) {
	if len(b) > MaxUnpacked {
		return nil, fmt.Errorf("%w %s: %d bytes in one change, at most %d; change fewer objects at a time", ErrInvalid, name, len(b), MaxUnpacked)
	}
	var out bytes.Buffer
	out.WriteByte(packedByte)
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	if out.Len() > MaxEntry {
		return nil, fmt.Errorf("%w %s: %d bytes in one change, %d packed, at most %d; change fewer objects at a time", ErrInvalid, name, len(b), out.Len(), MaxEntry)
	}
	return out.Bytes(), nil
}

// unpack undoes pack, if that was done.
func unpack(b []byte) (entry []byte, packed bool, err error) {
	if len(b) == 0 || b[0] != packedByte {
		return b, false, nil
	}
	from := bytes.NewReader(b[1:])
	entry, err = io.ReadAll(io.LimitReader(flate.NewReader(from), MaxUnpacked+1))
	switch {
	case err != nil:
		return nil, true, fmt.Errorf("packed: %w", err)
	case len(entry) > MaxUnpacked:
		return nil, true, fmt.Errorf("packed: over %d bytes", MaxUnpacked)
	case from.Len() > 0:
		return nil, true, fmt.Errorf("packed: %d bytes follow", from.Len())
	}
	return entry, true, nil
}
