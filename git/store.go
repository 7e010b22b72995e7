package git

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
)

// git runs a git command that sees the pushed objects.
func (p *pushing) git(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return run(ctx, p.scratch.dir, p.env, stdin, args...)
}

// storePack stores what the updates need and repo has not, as one pack; nil if
// that is nothing. It fails if any object is missing.
func (p *pushing) storePack(ctx context.Context, repo hoist.Repo, updates []hoist.RefUpdate) (*hoist.Pack, error) {
	var want, have strings.Builder
	for _, u := range updates {
		if !u.Deletes() {
			fmt.Fprintln(&want, u.New)
		}
	}
	if want.Len() == 0 {
		return nil, nil
	}
	// The truth may be ahead of the scratch repository.
	tips := slices.Compact(slices.Sorted(maps.Values(repo.Refs)))
	for _, tip := range tips {
		fmt.Fprintln(&have, tip)
	}
	types, err := p.objectTypes(ctx, have.String())
	if err != nil {
		return nil, err
	}
	for i, tip := range tips {
		if types[i] != "missing" {
			fmt.Fprintln(&want, "^"+tip)
		}
	}
	if err := p.checkWhole(ctx, want.String()); err != nil {
		return nil, err
	}
	// Beside what its refs need, a repository may have as much that they needed before, until it is compacted.
	has := packed(repo)
	full := refuse("What no branch or tag of %s needs any more is being removed. Push again in a minute.", p.app.Name)
	pack, err := packObjects(ctx, p.scratch.dir, p.env, want.String(), 2*p.RepoLimit-has, full)
	if pack != nil {
		defer pack.Close()
	}
	if errors.Is(err, full) || pack != nil && has+pack.size > p.RepoLimit {
		if err := p.checkNeed(ctx, repo, updates); err != nil {
			return nil, err
		}
	}
	if pack == nil || err != nil {
		return nil, err
	}
	return p.keepPack(ctx, p.app.ID, pack)
}

// checkNeed refuses updates after which the refs would need more than a
// repository may have.
func (p *pushing) checkNeed(ctx context.Context, repo hoist.Repo, updates []hoist.RefUpdate) error {
	p.say("The repository is nearly full. Counting what its branches and tags need...\n")
	refs := make(map[string]string)
	maps.Copy(refs, repo.Refs)
	for _, u := range updates {
		if u.Deletes() {
			delete(refs, u.Name)
		} else {
			refs[u.Name] = u.New
		}
	}
	// Those that another push has just made may be missing here.
	out, err := p.git(ctx, strings.NewReader(strings.Join(slices.Sorted(maps.Values(refs)), "\n")+"\n"),
		"rev-list", "--objects", "--disk-usage", "--ignore-missing", "--stdin")
	if err != nil {
		return err
	}
	needed, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err == nil && needed > p.RepoLimit {
		err = refuse("With this push the branches and tags of %s need %d MiB; a repository may have %d.\n"+
			"Delete those you can do without (git push hoist :BRANCH), or take what is big out of the history,\n"+
			"and push again.", p.app.Name, (needed+1<<20-1)>>20, p.RepoLimit>>20)
	}
	return err
}

// checkWhole refuses commits whose parents are neither here nor pushed, as a
// shallow clone may. Git has noted until its end that the client has one.
func (p *pushing) checkWhole(ctx context.Context, revs string) error {
	if noted, _ := filepath.Glob(filepath.Join(p.scratch.dir, "shallow_*")); len(noted) == 0 {
		return nil
	}
	if _, err := p.git(ctx, strings.NewReader(revs), "rev-list", "--quiet", "--stdin"); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return refuse("This is a shallow clone, and commits before its first are not here.\n" +
		"Get them with git fetch --unshallow, then push again.")
}

// packed is how many bytes a repository's packs have.
func packed(repo hoist.Repo) (sum int64) {
	for _, p := range repo.Packs {
		sum += p.Size
	}
	return sum
}

// packFile is a pack that is not in the blob store yet.
type packFile struct {
	*os.File
	sha256 string // hexadecimal
	size   int64
}

// packObjects packs the objects that revs mean (git-rev-list(1), one a line);
// nil if there are none. If that is more than limit it ends with the error full.
func packObjects(ctx context.Context, dir string, env []string, revs string, limit int64, full error) (*packFile, error) {
	f, err := scrap(dir)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	err = runTo(ctx, &limited{io.MultiWriter(f, sum), limit, full}, dir, env, strings.NewReader(revs),
		"pack-objects", "--revs", "--stdout", "--non-empty", "--delta-base-offset", "--quiet")
	size, sizeErr := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, sizeErr); err != nil || size == 0 {
		f.Close()
		return nil, err
	}
	return &packFile{f, hex.EncodeToString(sum.Sum(nil)), size}, nil
}

// keepPack stores a pack as a new blob of the app's repository.
func (s *Server) keepPack(ctx context.Context, appID hoist.ID, f *packFile) (*hoist.Pack, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	pack := &hoist.Pack{Key: repoPrefix + appID + "/" + hoist.NewID() + ".pack", SHA256: f.sha256, Size: f.size}
	return pack, s.Blobs.Put(ctx, pack.Key, f.File, f.size, f.size)
}

// scrap makes a file without a name: a process that is killed leaves nothing.
func scrap(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "tmp_*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Where git keeps its blobs.
const (
	repoPrefix  = "repos/"
	buildPrefix = "builds/"
	sourceName  = "/source.tgz"
)

// storeSource stores the commit's tree as a gzipped tar, the same bytes for
// the same commit, and returns its checksum.
func (p *pushing) storeSource(ctx context.Context, key, commit string) (checksum string, err error) {
	if err := p.checkEntries(ctx, commit); err != nil {
		return "", err
	}
	f, err := scrap(p.scratch.dir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	z, _ := gzip.NewWriterLevel(io.MultiWriter(f, sum), gzip.BestSpeed)
	unpacked := &limited{z, p.SourceLimit, refuse("The source is more than %d MiB unpacked. Is something in it that should not be?", p.SourceLimit>>20)}
	err = runTo(ctx, unpacked, p.scratch.dir, p.env, nil, "-c", "tar.umask=0022", "archive", "--format=tar", commit)
	if err := errors.Join(err, z.Close()); err != nil {
		return "", err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return "SHA256:" + hex.EncodeToString(sum.Sum(nil)), p.Blobs.Put(ctx, key, f, size, size)
}
