package blob

import (
	"container/list"
	"sync"

	"github.com/samara-hpc/samara/fleet"
)

// cacheChunks bounds the verified chunks that a store holds in memory: 64 MiB, which is more than a kernel and an
// initramfs, so that a thousand nodes that ask for them at once cost one reading of each.
const cacheChunks = 64

// A cache holds the bytes of verified chunks, the most recently used ones. Chunks are named by content, so that none is
// ever stale.
type cache struct {
	most int

	mu     sync.Mutex
	chunks map[chunkKey]*list.Element // of *chunk
	recent *list.List                 // the front was used last
}

type chunkKey struct {
	blob  fleet.Digest
	index int64
}

// A chunk is read by one goroutine; the others wait for ready. Then data is read-only.
type chunk struct {
	key   chunkKey
	ready chan struct{}
	data  []byte
	err   error
}

func newCache(most int) *cache {
	return &cache{most: most, chunks: map[chunkKey]*list.Element{}, recent: list.New()}
}

// read returns the bytes of a chunk, which load reads and verifies if need be. Only one load of a chunk runs at a time,
// and a failed one is not shared: each caller sees the failure of its own load.
func (c *cache) read(key chunkKey, load func() ([]byte, error)) ([]byte, error) {
	for {
		found, mine := c.claim(key)
		if mine {
			found.data, found.err = load()
			if found.err != nil {
				c.drop(found)
			}
			close(found.ready)
			return found.data, found.err
		}
		<-found.ready
		if found.err == nil {
			return found.data, nil
		}
	}
}

// claim returns the chunk and whether the caller has to load it.
func (c *cache) claim(key chunkKey) (found *chunk, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.chunks[key]; ok {
		c.recent.MoveToFront(e)
		return e.Value.(*chunk), false
	}
	fresh := &chunk{key: key, ready: make(chan struct{})}
	c.chunks[key] = c.recent.PushFront(fresh)
	for c.recent.Len() > c.most {
		last := c.recent.Back()
		c.recent.Remove(last)
		delete(c.chunks, last.Value.(*chunk).key)
	}
	return fresh, true
}

// drop forgets a chunk that could not be loaded.
func (c *cache) drop(gone *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.chunks[gone.key]; ok && e.Value.(*chunk) == gone {
		c.recent.Remove(e)
		delete(c.chunks, gone.key)
	}
}
