package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// layers are a container's own mounts. They are needed until the container is
// admitted; from then on its own mount namespace holds them, and
// with its last process they are gone.
type layers struct {
	dir string // on the engine's tmpfs
	app string // to be mounted at /app
	tmp string // at /tmp

	base uint32 // the host's user id for its id 0

	binds int // of grants, mounted below dir
}

// mountDisk makes and mounts the disk of a container whose ids begin at base.
func (e *Engine) mountDisk(c *container, base uint32) (*layers, error) {
	l := &layers{dir: filepath.Join(e.mnt, "c", c.name), base: base}
	disk := filepath.Join(l.dir, "disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return l, err
	}
	image := filepath.Join(c.dir, diskFile)
	if err := e.makeDisk(image, c.disk); err != nil {
		return l, err
	}
	// The image is not read after a power cut, so nothing need reach the platter.
	err := mountImage(image, disk, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, "nobarrier,noinit_itable")
	if err != nil {
		return l, err
	}
	l.app, l.tmp = filepath.Join(disk, "app"), filepath.Join(disk, "tmp")
	for _, d := range []struct {
		path string
		mode os.FileMode
		uid  uint32
	}{{l.app, 0o755, dynoUID}, {filepath.Join(disk, "work"), 0o700, 0}, {l.tmp, 0o777 | os.ModeSticky, 0}} {
		if err := os.Mkdir(d.path, 0o700); err != nil {
			return l, err
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return l, err
		}
		if err := os.Chown(d.path, int(base+d.uid), int(base+d.uid)); err != nil {
			return l, err
		}
	}
	return l, nil
}

// mountApp puts the slug, if there is one, under the disk's directory for /app.
func (e *Engine) mountApp(ctx context.Context, c *container, spec hoist.ContainerSpec) error {
	if spec.SlugPath == "" {
		return nil
	}
	slug, err := e.slugs.mount(spec.SlugPath)
	if err != nil {
		return err
	}
	l := c.layers
	c.slug = slug    // released with the container
	if l.base == 0 { // it is privileged: root reads everything
		return l.overlay(slug.dir)
	}
	if !e.noLayers.Load() {
		lower := filepath.Join(l.dir, "slug")
		err := e.bindSlug(ctx, slug, lower, l.base, c.disk)
		if err == nil {
			err = l.overlay(lower)
		}
		if !errors.Is(err, errNoIdmap) {
			return err
		}
		if !e.noLayers.Swap(true) {
			e.log.Info("slugs are copied onto each dyno's disk, as this kernel cannot show files to dynos as their own (Linux 5.19 can)", "err", err)
		}
	}
	return copyOwned(ctx, slug.dir, l.app, int(l.base+dynoUID), diskSize(c.disk))
}

// overlay makes what is at /app begin as lower; changes go to the disk. A kernel that does not
// take an idmapped directory is errNoIdmap.
func (l *layers) overlay(lower string) error {
	app := filepath.Join(l.dir, "app")
	if err := os.Mkdir(app, 0o755); err != nil {
		return err
	}
	data := "volatile,lowerdir=" + lower + ",upperdir=" + l.app + ",workdir=" + filepath.Join(l.dir, "disk", "work")
	err := unix.Mount("overlay", app, "overlay", unix.MS_NOSUID|unix.MS_NODEV, data)
	if errors.Is(err, unix.EINVAL) && l.base != 0 {
		return fmt.Errorf("%w: as a layer of an overlay", errNoIdmap)
	} else if err != nil {
		return fmt.Errorf("oci: overlay for /app: %w", err)
	}
	l.app = app
	return nil
}

// close takes the mounts out of our mount namespace.
func (l *layers) close() {
	for i := range l.binds {
		unix.Unmount(l.bind(i), unix.MNT_DETACH)
	}
	for _, name := range []string{"app", "slug", "disk"} {
		unix.Unmount(filepath.Join(l.dir, name), unix.MNT_DETACH)
	}
	os.RemoveAll(l.dir)
}

// bindSlug shows the slug at the new directory to, as a container sees it whose user ids
// begin at base: the slug itself or, if this kernel cannot, which it is asked only once, its copy for
// dynos with disks of the given size.
func (e *Engine) bindSlug(ctx context.Context, slug *slugMount, to string, base uint32, disk int64) error {
	if !e.noIdmap.Load() {
		err := bindIdmapped(slug.dir, to, slug.owner, base)
		if !errors.Is(err, errNoIdmap) {
			return err
		}
		if !e.noIdmap.Swap(true) {
			e.log.Info("slugs are copied, once for all dynos of a release, as this kernel cannot show them to dynos as their own (Linux 6.2 can)")
		}
	}
	if err := e.copySlug(ctx, slug, disk); err != nil {
		return err
	}
	return bindIdmapped(slug.copied(), to, dynoUID, base)
}

// slugMounts shares one loop device and one page cache among the containers of a slug.
type slugMounts struct {
	sync.Mutex
	dir    string
	next   int
	byPath map[string]*slugMount
}

type slugMount struct {
	path  string
	image slugImage
	dir   string
	owner uint32 // of the slug's root directory
	users int

	copying  sync.Mutex
	isCopied bool // at copied()
}

// slugImage names a file while it is mounted.
type slugImage struct{ device, inode uint64 }

// mount mounts the slug, or counts one user more of the mount there is. The file at
// the path may be replaced by another one, of a slug that was damaged, but not be changed.
func (s *slugMounts) mount(path string) (*slugMount, error) {
	s.Lock()
	defer s.Unlock()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, fmt.Errorf("oci: slug %s: %w", path, err)
	}
	image := slugImage{st.Dev, st.Ino}
	if m := s.byPath[path]; m != nil && m.image == image {
		m.users++
		return m, nil
	}
	m := &slugMount{path: path, image: image, dir: filepath.Join(s.dir, strconv.Itoa(s.next)), users: 1}
	s.next++
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	if err := mountImage(path, m.dir, "squashfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		os.Remove(m.dir)
		return nil, err
	}
	if err := unix.Stat(m.dir, &st); err != nil {
		return nil, err
	}
	m.owner = st.Uid
	s.byPath[path] = m
	return m, nil
}

func (s *slugMounts) release(m *slugMount) {
	s.Lock()
	defer s.Unlock()
	if m.users--; m.users > 0 {
		return
	}
	for _, dir := range []string{m.dir, m.copyMount()} {
		unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	}
	if s.byPath[m.path] == m {
		delete(s.byPath, m.path)
	}
}
