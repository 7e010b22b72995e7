package git

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
)

// cache holds mirrors of repositories on local disk. A mirror is never written
// by git's own commands that take pushes, only brought to the truth here, so
// every state it can be found in is repaired the same way.
type cache struct {
	dir   string
	db    Database
	blobs hoist.Blobs
	limit int64
	log   *slog.Logger

	checked sync.Map // IDs of apps whose mirror is being read, or was intact a while ago
}

func newCache(dir string, db Database, blobs hoist.Blobs, limit int64, log *slog.Logger) *cache {
	// What was not synced to disk may come back as anything after a power
	// cut, so each boot of the machine has a cache of its own.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return &cache{dir: filepath.Join(dir, "mirrors", strings.TrimSpace(string(boot))), db: db, blobs: blobs, limit: limit, log: log}
}

// mirror is a bare repository that was equal to repo when it was opened. It
// stays on disk until closed.
type mirror struct {
	dir  string
	repo hoist.Repo
	use  *os.File
}

func (m *mirror) close() { m.use.Close() }

func (c *cache) path(appID hoist.ID) string     { return filepath.Join(c.dir, appID+".git") }
func (c *cache) lockPath(appID hoist.ID) string { return filepath.Join(c.dir, appID+".lock") }
func (c *cache) usePath(appID hoist.ID) string  { return filepath.Join(c.dir, appID+".use") }

// open returns the app's mirror, as new as the database.
func (c *cache) open(ctx context.Context, appID hoist.ID) (*mirror, error) {
	use, err := flock(ctx, c.usePath(appID), syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	repo, err := c.sync(ctx, appID)
	if err != nil {
		use.Close()
		return nil, err
	}
	now := time.Now()
	os.Chtimes(c.usePath(appID), now, now)
	return &mirror{dir: c.path(appID), repo: repo, use: use}, nil
}

// intact reports whether the mirror's packs are what was stored, and their
// indexes what was made. All else of a mirror is made good when it is opened.
func (m *mirror) intact() bool {
	for _, p := range m.repo.Packs {
		base := filepath.Join(m.dir, "objects", "pack", packName(p))
		if sum, err := hoist.FileSHA256(base + ".pack"); err != nil || sum != p.SHA256 || !sealed(base+".idx") {
			return false
		}
		if _, err := os.Stat(base + ".rev"); err == nil && !sealed(base+".rev") {
			return false
		}
	}
	return true
}

// sealed reports whether a file ends with its checksum, as indexes of packs do
// (gitformat-pack(5)).
func sealed(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size < sha1.Size {
		return false
	}
	sum := sha1.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size-sha1.Size)); err != nil {
		return false
	}
	want := make([]byte, sha1.Size)
	_, err = f.ReadAt(want, size-sha1.Size)
	return err == nil && bytes.Equal(sum.Sum(nil), want)
}

// checkEvery is how often an intact mirror is read as a whole: mistakes of
// clients look like a broken one.
const checkEvery = 5 * time.Minute

// sound reports whether the app's mirror is intact, or was a while ago.
func (c *cache) sound(appID hoist.ID, m *mirror) bool {
	if _, known := c.checked.LoadOrStore(appID, true); known {
		return true
	}
	ok := m.intact()
	if ok {
		time.AfterFunc(checkEvery, func() { c.checked.Delete(appID) })
	} else {
		c.checked.Delete(appID)
	}
	return ok
}

// drop forgets a broken mirror, unless somebody uses it.
func (c *cache) drop(appID hoist.ID) {
	use, _ := tryFlock(c.usePath(appID), syscall.LOCK_EX)
	if use == nil {
		return
	}
	defer use.Close()
	c.log.Warn("the local mirror does not work; making it anew", "app", appID)
	os.RemoveAll(c.path(appID))
}

func (c *cache) sync(ctx context.Context, appID hoist.ID) (hoist.Repo, error) {
	lock, err := flock(ctx, c.lockPath(appID), syscall.LOCK_EX)
	if err != nil {
		return hoist.Repo{}, err
	}
	defer lock.Close()
	for broken := false; ; {
		repo, err := c.db.Repo(ctx, appID)
		if err != nil {
			return repo, err
		}
		err = c.bring(ctx, c.path(appID), repo)
		if err == nil {
			return repo, nil
		}
		// The packs may have been replaced while we fetched the old ones.
		if again, _ := c.db.Repo(ctx, appID); again.Generation > repo.Generation {
			continue
		}
		if broken || errors.Is(err, errFetch) || ctx.Err() != nil {
			return repo, fmt.Errorf("mirror of %s: %w", appID, err)
		}
		c.log.Warn("the local mirror is broken; making it anew", "app", appID, "err", err)
		os.RemoveAll(c.path(appID))
		broken = true
	}
}

// errFetch marks an error of getting a pack, which is not the mirror's fault.
var errFetch = errors.New("cannot get a pack")

// bring makes the bare repository in dir equal to repo.
func (c *cache) bring(ctx context.Context, dir string, repo hoist.Repo) error {
	if err := layOut(dir); err != nil {
		return err
	}
	packs := filepath.Join(dir, "objects", "pack")
	keep := make(map[string]bool)
	for _, p := range repo.Packs {
		name := packName(p)
		keep[name+".pack"], keep[name+".idx"], keep[name+".rev"] = true, true, true
		if havePack(filepath.Join(packs, name), p) {
			continue
		}
		if err := c.fetchPack(ctx, dir, filepath.Join(packs, name), p); err != nil {
			return err
		}
	}
	if err := writeRefs(dir, repo); err != nil {
		return err
	}
	entries, err := os.ReadDir(packs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			os.Remove(filepath.Join(packs, e.Name()))
		}
	}
	return nil
}

// packName is a pack's local name, without its ending.
func packName(p hoist.Pack) string {
	return "pack-" + strings.TrimSuffix(path.Base(p.Key), ".pack")
}

func havePack(base string, p hoist.Pack) bool {
	pack, err := os.Stat(base + ".pack")
	if err != nil || pack.Size() != p.Size {
		return false
	}
	_, err = os.Stat(base + ".idx")
	return err == nil
}

func (c *cache) fetchPack(ctx context.Context, dir, base string, p hoist.Pack) error {
	r, _, err := c.blobs.Get(ctx, p.Key)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errFetch, p.Key, err)
	}
	defer r.Close()
	tmp := filepath.Join(filepath.Dir(base), "tmp_"+hoist.NewID())
	defer os.Remove(tmp + ".pack")
	defer os.Remove(tmp + ".idx")
	f, err := os.OpenFile(tmp+".pack", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, p.Size+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: %s: %w", errFetch, p.Key, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%w: %s: SHA-256 is %s, not %s", errFetch, p.Key, got, p.SHA256)
	}
	if _, err := run(ctx, dir, nil, nil, "index-pack", "-o", tmp+".idx", tmp+".pack"); err != nil {
		return err
	}
	// git looks for the .idx first.
	return errors.Join(os.Rename(tmp+".pack", base+".pack"), os.Rename(tmp+".idx", base+".idx"))
}

// layOut makes the skeleton of a bare repository (gitrepository-layout(5)).
func layOut(dir string) error {
	for _, d := range []string{"objects/pack", "objects/info", "refs/heads", "info"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if err := writeIfChanged(filepath.Join(dir, "config"), []byte(config)); err != nil {
		return err
	}
	// What is deployed is what a checkout would have.
	return writeIfChanged(filepath.Join(dir, "info", "attributes"), []byte("* -export-ignore -export-subst\n"))
}

// writeRefs sets the refs and HEAD, all at once.
func writeRefs(dir string, repo hoist.Repo) error {
	err := filepath.WalkDir(filepath.Join(dir, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Remove(path) // loose refs would win over packed ones
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := writeIfChanged(filepath.Join(dir, "packed-refs"), packedRefs(repo.Refs)); err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(dir, "HEAD"), []byte("ref: "+headOf(repo)+"\n"))
}

// writeIfChanged replaces a file atomically unless it has that content.
func writeIfChanged(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	tmp := path + "." + hoist.NewID()
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}
