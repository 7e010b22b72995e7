package slug

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack"
)

// Image is a packed slug.
type Image struct {
	Path   string
	Size   int64  // bytes
	SHA256 string // hexadecimal
}

// Pack makes a squashfs image of dir at path. The same files make the same
// image, bit for bit, whenever and wherever it is made: times, owners and
// extended attributes are not kept. Special files are left out.
// More than hoist.SlugLimit bytes is an error that says what is large.
func Pack(ctx context.Context, dir, path string, out *buildpack.Output) (Image, error) {
	out.Begin("Compressing...")
	image, err := pack(ctx, dir, path)
	if err != nil {
		out.End("")
		return image, failed(PhasePack, err)
	}
	out.End(" done, %s", buildpack.HumanSize(image.Size))
	return image, nil
}

func pack(ctx context.Context, dir, path string) (Image, error) {
	if err := tidy(dir); err != nil {
		return Image{}, err
	}
	os.Remove(path)
	cmd := exec.CommandContext(ctx, "mksquashfs", dir, path, "-comp", "zstd", "-Xcompression-level", "3",
		"-noappend", "-no-xattrs", "-all-root", "-no-exports", "-reproducible",
		"-mkfs-time", "0", "-all-time", "0", "-no-progress", "-quiet", "-no-recovery",
		"-exit-on-error") // else what cannot be read is empty in the image
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // SOURCE_DATE_EPOCH would contradict the times above
	if msg, err := cmd.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return Image{}, errors.New("mksquashfs is missing in the stack (apt-get install squashfs-tools)")
		}
		return Image{}, fmt.Errorf("mksquashfs: %w: %s", err, strings.TrimSpace(string(msg)))
	}
	f, err := os.Open(path)
	if err != nil {
		return Image{}, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return Image{}, err
	}
	if size > hoist.SlugLimit {
		os.Remove(path)
		return Image{}, tooLarge(dir, size)
	}
	return Image{Path: path, Size: size, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// tidy removes what a slug does not hold (devices, sockets and pipes), makes the rest readable
// to its owner, whom dynos run as, and takes set-user-ID and its like away.
func tidy(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		readable := fs.FileMode(0o400)
		switch {
		case d.Type() == fs.ModeSymlink:
			return nil
		case d.IsDir():
			readable = 0o500 // before it is read
		case !d.Type().IsRegular():
			return os.Remove(path)
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if mode := st.Mode().Perm() | readable; mode != st.Mode()&^fs.ModeType {
			return os.Chmod(path, mode)
		}
		return nil
	})
}

func tooLarge(dir string, size int64) error {
	type entry struct {
		name string
		size int64
	}
	sizes := map[string]int64{}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		rel, _ := filepath.Rel(dir, path)
		parts := strings.Split(rel, "/")
		sizes[strings.Join(parts[:min(2, len(parts))], "/")] += info.Size()
		return nil
	})
	var entries []entry
	for name, n := range sizes {
		entries = append(entries, entry{name, n})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.name, b.name)) })
	msg := fmt.Sprintf("Compiled slug size: %s is too large (max is %s).\nThe largest directories before compression:",
		buildpack.HumanSize(size), buildpack.HumanSize(hoist.SlugLimit))
	for _, e := range entries[:min(5, len(entries))] {
		msg += fmt.Sprintf("\n  %6s  %s", buildpack.HumanSize(e.size), e.name)
	}
	return errors.New(msg + "\nLeave out what the app does not need at run time with a .slugignore.")
}
