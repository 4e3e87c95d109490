package raftstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
)

// The format of bbolt's files, version 2: pages of a size that the two meta pages at the start state. Integers are in
// the machine's byte order. Source: go.etcd.io/bbolt, internal/common/{page,meta,inode,bucket}.go.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	boltPageHeader = 16 // id u64, flags u16, count u16, overflow u32
	boltElement    = 16 // branch: position u32, key size u32, page u64; leaf: flags u32, position u32, key and value size u32
	boltBucket     = 16 // root page u64, sequence u64: the value of a bucket's key; with root page 0 a page follows
	boltMetaSize   = 64 // the checksum is its last 8 bytes

	boltBranch   = 0x01
	boltLeaf     = 0x02
	boltFreelist = 0x10

	boltIsBucket = 0x01 // flag of a leaf element
)

// A boltFile is a bbolt file that is being checked. bbolt itself panics on a damaged page, or faults, or does not
// notice: its pages have no checksums. A boltFile reads nothing without a bound, and accepts a page only if what it
// holds fills it exactly as bbolt would have. What remains is damage inside keys and values, which their reader finds.
type boltFile struct {
	file     *os.File
	pageSize int64
	pages    uint64          // in use or free: ids are below
	used     map[uint64]bool // pages met so far, overflow pages included
	visit    func(bucket string, key []byte) error
}

// checkBolt reports damage to the structure of a bbolt file, and calls visit with each key in a bucket. The file must
// not be written to meanwhile. Errors of the file system are returned as they are; all others wrap ErrCorrupt.
func checkBolt(path string, visit func(bucket string, key []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	b := &boltFile{file: f, used: map[uint64]bool{0: true, 1: true}, visit: visit}
	root, freelist, err := b.readMeta()
	if err != nil {
		return err
	}
	if err := b.checkTree(root, "", nil, nil, 0); err != nil {
		return err
	}
	if err := b.checkFreelist(freelist); err != nil {
		return err
	}
	if n := uint64(len(b.used)); n != b.pages {
		return fmt.Errorf("%w: %d of %d pages are neither used nor free", ErrCorrupt, b.pages-n, b.pages)
	}
	return nil
}

// readMeta reads both meta pages. bbolt would make do with one, but the one that is damaged may be the newer one, and
// the last acknowledged change would be gone without a word. No crash leaves a half-written one: it is 64 bytes within
// one sector.
func (b *boltFile) readMeta() (root, freelist uint64, err error) {
	info, err := b.file.Stat()
	if err != nil {
		return 0, 0, err
	}
	newest, order := uint64(0), binary.NativeEndian
	for id := range int64(2) {
		var page [boltPageHeader + boltMetaSize]byte
		if _, err := b.file.ReadAt(page[:], id*b.pageSize); err != nil {
			return 0, 0, fmt.Errorf("%w: meta page %d: %w", ErrCorrupt, id, err)
		}
		m := page[boltPageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:boltMetaSize-8]) // a hash.Hash never fails
		if order.Uint32(m) != boltMagic || order.Uint32(m[4:]) != boltVersion || order.Uint64(m[boltMetaSize-8:]) != sum.Sum64() {
			return 0, 0, fmt.Errorf("%w: meta page %d: %w", ErrCorrupt, id, errChecksum)
		}
		b.pageSize = int64(order.Uint32(m[8:]))
		if txid := order.Uint64(m[48:]); id == 0 || txid > newest {
			newest, root, freelist, b.pages = txid, order.Uint64(m[16:]), order.Uint64(m[32:]), order.Uint64(m[40:])
		}
	}
	if b.pageSize < 1024 || int64(b.pages) > info.Size()/b.pageSize {
		return 0, 0, fmt.Errorf("%w: %d pages of %d bytes in a file of %d bytes", ErrCorrupt, b.pages, b.pageSize, info.Size())
	}
	return root, freelist, nil
}

// page reads the page with that id, overflow pages included, and marks them used.
func (b *boltFile) page(id uint64) ([]byte, error) {
	if id < 2 || id >= b.pages {
		return nil, fmt.Errorf("%w: page %d of %d", ErrCorrupt, id, b.pages)
	}
	head := make([]byte, boltPageHeader)
	if _, err := b.file.ReadAt(head, int64(id)*b.pageSize); err != nil {
		return nil, err
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if got := binary.NativeEndian.Uint64(head); got != id || id+overflow >= b.pages {
		return nil, fmt.Errorf("%w: page %d calls itself %d, with %d more", ErrCorrupt, id, got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if b.used[i] {
			return nil, fmt.Errorf("%w: page %d is used twice", ErrCorrupt, i)
		}
		b.used[i] = true
	}
	page := make([]byte, (1+int64(overflow))*b.pageSize)
	_, err := b.file.ReadAt(page, int64(id)*b.pageSize)
	return page, err
}

// checkTree checks the page with that id and what is below it. Keys must be at least low and below high, nil being
// no bound; depth is how far down the page is.
func (b *boltFile) checkTree(id uint64, bucket string, low, high []byte, depth int) error {
	page, err := b.page(id)
	if err != nil {
		return err
	}
	if err := b.checkPage(page, bucket, low, high, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// An element is one entry of a page.
type element struct {
	key, value []byte
	child      uint64 // of a branch page
	bucket     bool   // the value is a bucket
}

var errBoltPage = errors.New("its contents do not fit together")

func (b *boltFile) checkPage(page []byte, bucket string, low, high []byte, depth int) error {
	if depth > 32 {
		return fmt.Errorf("%w: more than 32 levels", ErrCorrupt)
	}
	elements, err := readElements(page)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	for i, e := range elements {
		next := high
		if i+1 < len(elements) {
			next = elements[i+1].key
		}
		if bytes.Compare(e.key, low) < 0 || next != nil && bytes.Compare(e.key, next) >= 0 {
			return fmt.Errorf("%w: its keys are out of order", ErrCorrupt)
		}
		switch {
		case e.child != 0:
			err = b.checkTree(e.child, bucket, e.key, next, depth+1)
		case e.bucket:
			err = b.checkBucket(bucket+string(e.key), e.value, depth)
		default:
			err = b.visit(bucket, e.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkBucket checks the bucket that value describes.
func (b *boltFile) checkBucket(name string, value []byte, depth int) error {
	if len(value) < boltBucket {
		return fmt.Errorf("%w: bucket %q: %w", ErrCorrupt, name, errBoltPage)
	}
	root := binary.NativeEndian.Uint64(value)
	switch {
	case root != 0 && len(value) == boltBucket:
		return b.checkTree(root, name, nil, nil, depth+1)
	case root == 0 && len(value) >= boltBucket+boltPageHeader && binary.NativeEndian.Uint16(value[boltBucket+8:]) == boltLeaf:
		return b.checkPage(value[boltBucket:], name, nil, nil, depth+1)
	default:
		return fmt.Errorf("%w: bucket %q: %w", ErrCorrupt, name, errBoltPage)
	}
}

// readElements returns the elements of a branch or leaf page. Keys and values must follow the elements, one after
// another without a gap, as bbolt writes them: so a changed count or size is noticed.
func readElements(page []byte) ([]element, error) {
	order := binary.NativeEndian
	flags, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	if flags != boltBranch && flags != boltLeaf || flags == boltBranch && count == 0 {
		return nil, fmt.Errorf("type %#x with %d elements", flags, count)
	}
	data := boltPageHeader + count*boltElement // where the next key must be
	if data > len(page) {
		return nil, errBoltPage
	}
	elements := make([]element, count)
	for i := range elements {
		at := boltPageHeader + i*boltElement
		raw, e := page[at:at+boltElement], &elements[i]
		var position, keySize, valueSize uint32
		if flags == boltBranch {
			position, keySize, e.child = order.Uint32(raw), order.Uint32(raw[4:]), order.Uint64(raw[8:])
			if e.child == 0 {
				return nil, errBoltPage
			}
		} else {
			kind := order.Uint32(raw)
			position, keySize, valueSize = order.Uint32(raw[4:]), order.Uint32(raw[8:]), order.Uint32(raw[12:])
			if e.bucket = kind == boltIsBucket; kind > boltIsBucket {
				return nil, errBoltPage
			}
		}
		end := int64(data) + int64(keySize) + int64(valueSize)
		if at+int(position) != data || keySize == 0 || end > int64(len(page)) {
			return nil, errBoltPage
		}
		e.key, e.value = page[data:data+int(keySize)], page[data+int(keySize):end]
		data = int(end)
	}
	return elements, nil
}

// checkFreelist reads the list of free pages, and marks them used.
func (b *boltFile) checkFreelist(id uint64) error {
	page, err := b.page(id)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	ids, count := page[boltPageHeader:], uint64(order.Uint16(page[10:]))
	if count == 0xFFFF { // that many or more: the first id is the count
		count, ids = order.Uint64(ids), ids[8:]
	}
	if order.Uint16(page[8:]) != boltFreelist || count > uint64(len(ids)/8) {
		return fmt.Errorf("%w: list of free pages: %w", ErrCorrupt, errBoltPage)
	}
	for i := range count {
		free := order.Uint64(ids[8*i:])
		if free < 2 || free >= b.pages || b.used[free] {
			return fmt.Errorf("%w: page %d is free and used", ErrCorrupt, free)
		}
		b.used[free] = true
	}
	return nil
}
