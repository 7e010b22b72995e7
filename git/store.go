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
	has := packed(repo)
	full := refuse("The repository of %s has %d MiB, may have %d, and this push does not fit.\n"+
		"What no branch or tag needs is removed now: delete those you can do without (git push hoist :BRANCH)\n"+
		"and push again in a minute.", p.app.Name, has>>20, p.RepoLimit>>20)
	pack, err := p.pack(ctx, p.app.ID, p.scratch.dir, p.env, want.String(), p.RepoLimit-has, full)
	p.full = errors.Is(err, full)
	return pack, err
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

// pack packs the objects that revs mean (git-rev-list(1), one a line) into a
// new blob of the app's repository; nil if there are none. If that is more than
// limit it ends with the error full.
func (s *Server) pack(ctx context.Context, appID hoist.ID, dir string, env []string, revs string, limit int64, full error) (*hoist.Pack, error) {
	f, err := scrap(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	err = runTo(ctx, &limited{io.MultiWriter(f, sum), limit, full}, dir, env, strings.NewReader(revs),
		"pack-objects", "--revs", "--stdout", "--non-empty", "--delta-base-offset", "--quiet")
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil || size == 0 {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	pack := &hoist.Pack{
		Key:    repoPrefix + appID + "/" + hoist.NewID() + ".pack",
		SHA256: hex.EncodeToString(sum.Sum(nil)),
		Size:   size,
	}
	return pack, s.Blobs.Put(ctx, pack.Key, f, size, size)
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
