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

	"golang.org/x/sys/unix"
)

// layers are a container's own mounts. They are needed until the runtime has
// made the container; from then on its own mount namespace holds them, and
// with its last process they are gone.
type layers struct {
	dir string // on the engine's tmpfs
	app string // to be mounted at /app
	tmp string // at /tmp
}

// mountContainer mounts the disk image and the slug for a container whose ids
// begin at base. The slug stays in use until it is released.
func (e *Engine) mountContainer(id, image, slug string, base uint32) (_ *layers, err error) {
	l := &layers{dir: filepath.Join(e.mnt, "c", id)}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	disk := filepath.Join(l.dir, "disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return nil, err
	}
	// The image is not read after a power cut, so nothing need reach the platter.
	err = mountImage(image, disk, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, "nobarrier,noinit_itable")
	if err != nil {
		return nil, err
	}
	upper, work := filepath.Join(disk, "app"), filepath.Join(disk, "work")
	l.tmp = filepath.Join(disk, "tmp")
	for _, d := range []struct {
		path string
		mode os.FileMode
		uid  uint32
	}{{upper, 0o755, dynoUID}, {work, 0o700, 0}, {l.tmp, 0o777 | os.ModeSticky, 0}} {
		if err := os.Mkdir(d.path, 0o700); err != nil {
			return nil, err
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return nil, err
		}
		if err := os.Chown(d.path, int(base+d.uid), int(base+d.uid)); err != nil {
			return nil, err
		}
	}
	if slug == "" {
		l.app = upper
		return l, nil
	}
	mounted, err := e.slugs.mount(slug)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			e.slugs.release(slug)
		}
	}()
	if !e.idmap {
		l.app = upper
		return l, copyOwned(mounted.dir, upper, int(base+dynoUID))
	}
	lower := filepath.Join(l.dir, "slug")
	l.app = filepath.Join(l.dir, "app")
	for _, dir := range []string{lower, l.app} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := bindIdmapped(mounted.dir, lower, mounted.owner, base); err != nil {
		return nil, err
	}
	data := "volatile,lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", l.app, "overlay", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return nil, fmt.Errorf("oci: overlay for /app: %w", err)
	}
	return l, nil
}

// close takes the mounts out of our mount namespace.
func (l *layers) close() {
	for _, name := range []string{"app", "slug", "disk"} {
		unix.Unmount(filepath.Join(l.dir, name), unix.MNT_DETACH)
	}
	os.RemoveAll(l.dir)
}

// idmapOverlays reports whether an overlay takes an idmapped layer: Linux
// 5.19. Older kernels get slugs copied onto the dyno's disk.
func idmapOverlays() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, _ := strconv.Atoi(parts[0])
	minor, _ := strconv.Atoi(parts[1])
	return major > 5 || major == 5 && minor >= 19
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
