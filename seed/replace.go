package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/socket"
)

// Replacement is the error with which Run ends to be begun again by another
// program: that of the platform's last good release. Postgres and all dynos go
// on, and Files are listening sockets to be handed over.
type Replacement struct {
	Path  string
	Files []hoist.NamedFile
}

func (r *Replacement) Error() string { return "the seed is replaced by " + r.Path }

// successor is a program from a slug of the platform that seeds are replaced by.
type successor struct {
	Sum     string `json:"sum"` // SHA-256, and its version
	Release int    `json:"release"`
	Tries   int    `json:"tries"` // begun without having become ready
	Proven  bool   `json:"proven"`
}

// is reports whether it is the program of a version, which is the beginning of its sum.
func (s *successor) is(version string) bool {
	return version != "" && strings.HasPrefix(s.Sum, version)
}

// seedTries is how often a program may fail to become ready before it is given up.
const seedTries = 2

// SuccessorOf is the program that a seed of version has to begin instead of itself: that of the
// platform's release or, as long as that has not proved itself or if it does not last, the one before; empty if there is none.
func SuccessorOf(s Settings, version string) string {
	var state systemState
	text, err := os.ReadFile(s.file("system.json"))
	if err != nil || json.Unmarshal(text, &state) != nil {
		return ""
	}
	for _, c := range []*successor{state.Seed, state.SeedBefore} {
		switch {
		case c == nil || s.crashing(c):
		case c.is(version):
			return ""
		case c.Proven && s.hasProgram(c):
			return s.seedProgram(c.Sum)
		}
	}
	return ""
}

func (s *Settings) seedProgram(sum string) string {
	return filepath.Join(s.file("system"), "seed-"+sum[:min(12, len(sum))])
}

// hasProgram reports whether a program is here, whole.
func (s *Settings) hasProgram(c *successor) bool {
	sum, err := hoist.FileSHA256(s.seedProgram(c.Sum))
	return err == nil && sum == c.Sum
}

// succeed replaces the seed when all runs as it shall and the good release's
// program is another one. What is at work inside the seed ends first.
func (y *system) succeed(ctx context.Context, settled bool) {
	own := y.seed.cfg.Version
	if seed := y.state.Seed; seed != nil && seed.is(own) && !seed.Proven && settled {
		y.log.Info("the seed is of the release now", "version", seed.Release, "program", own)
		seed.Proven = true
		y.collectPrograms()
	}
	want := y.state.Good
	if !settled || !y.seed.cfg.Replaceable || want == nil || want.ReleaseID != y.state.Next.ReleaseID || len(y.state.Rescued) > 0 || !y.seed.idle() {
		return
	}
	cannot := func(err error) {
		y.log.Error("the seed cannot be replaced", "release", want.Version, "err", err)
		y.cannotBe("be replaced by the seed of v%d: %v", want.Version, err)
	}
	next := y.state.Seed
	if next == nil || next.Release != want.Version {
		sum, err := y.extract(ctx, want.Slug)
		if err != nil {
			cannot(err)
			return
		}
		if next != nil && next.Proven && next.Sum != sum && (next.is(own) || !y.seed.cfg.crashing(next)) {
			y.state.SeedBefore = next
		}
		next = &successor{Sum: sum, Release: want.Version}
		if next.Proven = next.is(own); !next.Proven {
			y.seed.cfg.forgetCrashes(sum) // another release, another try
		}
		y.state.Seed = next
	}
	if next.is(own) {
		delete(y.cannot, "seed")
		return
	}
	if y.refuses(next) {
		return
	}
	if next.Tries >= seedTries && !next.Proven {
		y.cannotBe("be replaced by the seed of v%d: it was begun %d times and did not become ready", next.Release, next.Tries)
		return
	}
	if !y.seed.cfg.hasProgram(next) { // any more
		if sum, err := y.extract(ctx, want.Slug); err != nil || sum != next.Sum {
			cannot(errors.Join(err, errors.New("its program is damaged")))
			return
		}
	}
	files, err := y.seed.keepSockets()
	if err != nil {
		cannot(err)
		return
	}
	next.Tries++
	y.write()
	y.log.Info("the seed is replaced", "release", want.Version, "by", next.Sum)
	y.seed.stop(&Replacement{y.seed.cfg.seedProgram(next.Sum), files})
}

func (y *system) cannotBe(format string, args ...any) {
	y.cannot["seed"] = "cannot " + fmt.Sprintf(format, args...)
}

// extract takes the program out of a slug.
func (y *system) extract(ctx context.Context, slug string) (sum string, err error) {
	if err := y.whole(slug); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(y.seed.cfg.file("system"), unfinishedProgram)
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	hash := sha256.New()
	cmd := exec.CommandContext(ctx, "unsquashfs", "-cat", y.slugFile(slug), "bin/hoist")
	cmd.Stdout = io.MultiWriter(f, hash)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("bin/hoist in slug %.12s: %w", slug, err)
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	return sum, errors.Join(f.Chmod(0o755), f.Sync(), f.Close(), os.Rename(f.Name(), y.seed.cfg.seedProgram(sum)))
}

// collectPrograms removes those of earlier releases, but for the last.
func (y *system) collectPrograms() {
	var keep []string
	for _, c := range []*successor{y.state.Seed, y.state.SeedBefore} {
		if c != nil {
			keep = append(keep, y.seed.cfg.seedProgram(c.Sum), y.seed.cfg.crashesFile(c.Sum), y.seed.cfg.crashFile(c.Sum))
		}
	}
	files, _ := filepath.Glob(y.seed.cfg.seedProgram("*"))
	for _, path := range files {
		if !slices.Contains(keep, path) {
			os.Remove(path)
		}
	}
}

// idle reports whether no component is at work inside the seed.
func (s *Seed) idle() bool {
	for _, c := range s.components {
		if !c.idle() {
			return false
		}
	}
	return true
}

// keepSockets duplicates the listening sockets that only the seed has.
func (s *Seed) keepSockets() (files []hoist.NamedFile, err error) {
	s.own.Lock()
	defer s.own.Unlock()
	for name, l := range s.own.sockets {
		f, err := socket.File(l.(*net.TCPListener), name)
		if err != nil {
			return files, err
		}
		files = append(files, hoist.NamedFile{Name: name, File: f})
	}
	return files, nil
}

// listen listens on an address with a socket that is handed over to our
// successor, and may be from our predecessor.
func (s *Seed) listen(ctx context.Context, name, addr string) (l net.Listener, err error) {
	if s.cfg.Held != nil {
		l, err = s.cfg.Held(name)
	}
	if l == nil && err == nil {
		l, err = listenFree(ctx, addr)
	}
	if err != nil {
		return nil, err
	}
	if l.Addr().String() != addr { // the port is another now
		l.Close()
		if l, err = listenFree(ctx, addr); err != nil {
			return nil, err
		}
	}
	s.own.Lock()
	defer s.own.Unlock()
	if s.own.sockets == nil {
		s.own.sockets = map[string]net.Listener{}
	}
	s.own.sockets[name] = l
	return l, nil
}

// ours reports whether a loopback port is in use by what our predecessor left:
// Postgres, or the socket of the blob store.
func (s *Seed) ours(port int) bool {
	if s.cfg.Held != nil {
		if l, err := s.cfg.Held("blobs"); err == nil && l != nil {
			defer l.Close()
			if l.Addr().(*net.TCPAddr).Port == port {
				return true
			}
		}
	}
	return s.cfg.postgres(&state{PostgresPort: port}).Running()
}

// replaced reports whether a context ended because the seed is replaced.
func replaced(ctx context.Context) (*Replacement, bool) {
	var r *Replacement
	ok := errors.As(context.Cause(ctx), &r)
	return r, ok
}

// leaveIf ends a context for the ground: Postgres goes on if the seed is replaced.
func leaveIf(ctx context.Context) error {
	if _, ok := replaced(ctx); ok {
		return postgres.ErrLeave
	}
	return context.Canceled
}
