package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

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
func (e *Engine) mountApp(c *container, spec hoist.ContainerSpec) error {
	if spec.SlugPath == "" {
		return nil
	}
	slug, err := e.slugs.mount(spec.SlugPath)
	if err != nil {
		return err
	}
	l := c.layers
	c.slug = spec.SlugPath // released with the container
	lower := slug.dir
	if l.base != 0 { // else it is privileged: root reads everything
		lower = filepath.Join(l.dir, "slug")
		if err := e.bindSlug(slug, lower, l.base); errors.Is(err, errNoIdmap) {
			return copyOwned(slug.dir, l.app, int(l.base+dynoUID))
		} else if err != nil {
			return err
		}
	}
	upper, work := l.app, filepath.Join(l.dir, "disk", "work")
	l.app = filepath.Join(l.dir, "app")
	if err := os.Mkdir(l.app, 0o755); err != nil {
		return err
	}
	data := "volatile,lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", l.app, "overlay", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return fmt.Errorf("oci: overlay for /app: %w", err)
	}
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
// begin at base. It fails with errNoIdmap if this kernel cannot, which it is asked only once.
func (e *Engine) bindSlug(slug *slugMount, to string, base uint32) error {
	if e.noIdmap.Load() {
		return errNoIdmap
	}
	err := bindIdmapped(slug.dir, to, slug.owner, base)
	if errors.Is(err, errNoIdmap) && !e.noIdmap.Swap(true) {
		e.log.Info("slugs are copied onto the dynos' disks, as this kernel cannot show them to dynos as their own (Linux 6.2 can)")
	}
	return err
}

// slugMounts shares one loop device and one page cache among the containers of a slug.
type slugMounts struct {
	sync.Mutex
	dir    string
	next   int
	byPath map[string]*slugMount
}

type slugMount struct {
	dir   string
	owner uint32 // of the slug's root directory
	users int
}

// mount mounts the slug, or counts one user more of the mount there is. What
// is at the path must not change while it is used.
func (s *slugMounts) mount(path string) (*slugMount, error) {
	s.Lock()
	defer s.Unlock()
	if m := s.byPath[path]; m != nil {
		m.users++
		return m, nil
	}
	m := &slugMount{dir: filepath.Join(s.dir, strconv.Itoa(s.next)), users: 1}
	s.next++
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	if err := mountImage(path, m.dir, "squashfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		os.Remove(m.dir)
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(m.dir, &st); err != nil {
		return nil, err
	}
	m.owner = st.Uid
	s.byPath[path] = m
	return m, nil
}

func (s *slugMounts) release(path string) {
	s.Lock()
	defer s.Unlock()
	m := s.byPath[path]
	if m == nil {
		return
	}
	if m.users--; m.users == 0 {
		unix.Unmount(m.dir, unix.MNT_DETACH)
		os.Remove(m.dir)
		delete(s.byPath, path)
	}
}

// copyOwned copies the tree from into the directory to and gives all of it to owner.
func copyOwned(from, to string, owner int) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if path == from {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			err = os.Mkdir(target, info.Mode().Perm())
		case fs.ModeSymlink:
			var link string
			if link, err = os.Readlink(path); err == nil {
				err = os.Symlink(link, target)
			}
		case 0:
			err = copyFile(path, target, info.Mode().Perm())
		default:
			return nil // devices and sockets have no business in a slug
		}
		if err != nil {
			return err
		}
		return os.Lchown(target, owner, owner)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err = errors.Join(err, dst.Close()); errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("oci: the slug does not fit on the dyno's disk: %w", err)
	}
	return err
}
