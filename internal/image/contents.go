package image

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// contents are the files of an image that is packed already.
type contents struct {
	unsquash tool
	file     string // the squashfs
	index    *index
}

// read returns the contents of a file, which may have at most that many bytes.
func (c contents) read(ctx context.Context, name string, most int) ([]byte, error) {
	out := &limited{most: most}
	if err := c.unsquash.run(ctx, out, "-no-progress", "-no-wildcards", "-cat", c.file, name); err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	if out.over {
		return nil, fmt.Errorf("read /%s: it has more than %d bytes", name, most)
	}
	return out.b.Bytes(), nil
}

// A limited holds what is written to it, up to a limit.
type limited struct {
	b    bytes.Buffer
	most int
	over bool
}

// Write never fails.
func (l *limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > l.most {
		l.over = true
		return len(p), nil
	}
	return l.b.Write(p)
}

// checkDrivers makes sure that the kernel can mount the image: as modules or built in.
func (c contents) checkDrivers(ctx context.Context, k kernel, compression string) error {
	const most = 64 << 20
	dep, err := c.read(ctx, path.Join(k.modules, "modules.dep"), most)
	if err != nil {
		return err
	}
	all := dep
	if name, _, ok := c.index.resolve(path.Join(k.modules, "modules.builtin")); ok {
		builtin, err := c.read(ctx, name, most)
		if err != nil {
			return err
		}
		all = append(append(dep, '\n'), builtin...)
	}
	for _, driver := range [...]string{"squashfs", "overlay", "loop"} {
		if !regexp.MustCompile(`(?m)(^|/)` + driver + `\.ko(\.gz|\.xz|\.zst)?(:|$)`).Match(all) {
			return fmt.Errorf("the kernel %s has no %s driver, as a module or built in: install the rest of its modules in it (linux-modules-extra, kernel-modules)", k.release, driver)
		}
	}
	return c.checkConfig(ctx, k, compression)
}

// checkConfig makes sure that the kernel's squashfs driver can read the compression, if the kernel's configuration is
// there to tell.
func (c contents) checkConfig(ctx context.Context, k kernel, compression string) error {
	option := map[string]string{Zstd: "CONFIG_SQUASHFS_ZSTD", XZ: "CONFIG_SQUASHFS_XZ", Gzip: "CONFIG_SQUASHFS_ZLIB"}[compression]
	for _, name := range [...]string{"boot/config-" + k.release, path.Join(k.modules, "config")} {
		real, _, ok := c.index.resolve(name)
		if !ok {
			continue
		}
		config, err := c.read(ctx, real, 4<<20)
		if err != nil {
			return err
		}
		if !bytes.Contains(config, []byte("\n"+option+"=y")) {
			return fmt.Errorf("the kernel %s cannot read a squashfs compressed with %s (%s is not set): import it with another compression", k.release, compression, option)
		}
		return nil
	}
	return nil
}

// warnings names what should not be in an image, since every node can read it.
func (c contents) warnings(ctx context.Context) ([]string, error) {
	var w []string
	for _, name := range c.index.match("etc/ssh/ssh_host_*_key", "etc/munge/munge.key", "etc/krb5.keytab", "root/.ssh/id_*") {
		if !strings.HasSuffix(name, ".pub") {
			w = append(w, fmt.Sprintf("/%s is a secret that every node can read: remove it and import again", name))
		}
	}
	if name, n, ok := c.index.resolve("etc/machine-id"); ok && n.kind == regular && n.size > 0 {
		id, err := c.read(ctx, name, 4<<10)
		if err != nil {
			return nil, err
		}
		if text := strings.TrimSpace(string(id)); text != "" && text != "uninitialized" {
			w = append(w, "/etc/machine-id is not empty: nodes get their own, but other uses of this image would share it; empty the file")
		}
	}
	for _, name := range c.index.match("boot/initrd*", "boot/initramfs*") {
		if n := c.index.nodes[name]; n.kind == regular && n.size > 0 {
			w = append(w, fmt.Sprintf("/%s takes %d MiB of every node's memory and is never used: remove it and import again", name, (n.size+1<<20-1)>>20))
		}
	}
	return w, nil
}
