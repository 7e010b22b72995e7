package proof

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
)

// The fixture app has one file to be told by and a process type that shows it.
const (
	procfile = "proof: cat nonce\n"
	nonce    = "nonce"
)

// source is the fixture as a gzipped tar archive.
func source(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for name, body := range map[string]string{"Procfile": procfile, nonce: text} {
		t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Format: tar.FormatPAX})
		io.WriteString(t, body)
	}
	t.Close()
	z.Close()
	return b.Bytes()
}

// build has the fixture compiled, by the component named or by any, and
// returns what is inside the slug.
func (p *Prover) build(ctx context.Context, w *world, only hoist.ID) error {
	text := hoist.NewSecret()
	b := hoist.Build{ID: hoist.NewID(), AppID: w.app.ID, AccountID: w.account.ID, Stack: w.app.Stack, SourceVersion: text[:12]}
	b.SourceKey = "builds/" + b.ID + "/source.tgz"
	archive := source(text)
	sum := sha256.Sum256(archive)
	b.SourceChecksum = "SHA256:" + hex.EncodeToString(sum[:])
	if err := p.cfg.Blobs.Put(ctx, b.SourceKey, bytes.NewReader(archive), int64(len(archive)), 1<<20); err != nil {
		return fmt.Errorf("the blob store: %w", err)
	}
	if err := p.cfg.DB.CreateProofBuild(ctx, b, only); err != nil {
		return err
	}
	p.cfg.Bus.Ring(hoist.BellBuild, []byte(b.ID))
	for wait(ctx) {
		now, err := p.cfg.DB.Build(ctx, w.app.ID, b.ID)
		switch {
		case err != nil:
			return err
		case now.State == hoist.BuildFailed, now.State == hoist.BuildCanceled:
			return fmt.Errorf("a build of the fixture failed: %s", now.Error)
		case now.SlugID == "" || only == "" && !now.State.Done(): // a release is api's
		default:
			return p.checkSlug(ctx, w, now, text)
		}
	}
	p.cfg.DB.CancelBuild(context.WithoutCancel(ctx), w.app.ID, b.ID)
	return errors.New("a build of the fixture did not end")
}

// checkSlug looks into a slug that was registered.
func (p *Prover) checkSlug(ctx context.Context, w *world, b hoist.Build, want string) error {
	s, err := p.cfg.DB.Slug(ctx, w.app.ID, b.SlugID)
	if err != nil {
		return err
	}
	r, _, err := p.cfg.Blobs.Get(ctx, s.Key)
	if err != nil {
		return fmt.Errorf("the slug it registered: %w", err)
	}
	defer r.Close()
	sum := sha256.New()
	if err := p.checkImage(ctx, io.TeeReader(r, sum), want); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != s.SHA256 {
		return fmt.Errorf("the slug has the checksum %s, not %s as it registered", got, s.SHA256)
	}
	if s.ProcessTypes["proof"] != strings.TrimSpace(strings.TrimPrefix(procfile, "proof:")) {
		return fmt.Errorf("the slug it made has the process types %v", s.ProcessTypes)
	}
	return nil
}

// checkImage looks for the fixture in a slug.
func (p *Prover) checkImage(ctx context.Context, image io.Reader, text string) error {
	f, err := os.CreateTemp(p.cfg.Dir, slugFiles)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, image); err != nil {
		return fmt.Errorf("the slug it made: %w", err)
	}
	for name, want := range map[string]string{nonce: text, "Procfile": procfile} {
		got, err := exec.CommandContext(ctx, "unsquashfs", "-cat", f.Name(), name).CombinedOutput()
		if err != nil {
			return fmt.Errorf("the slug it made cannot be read: %.200s", bytes.TrimSpace(got))
		}
		if string(got) != want {
			return fmt.Errorf("in the slug it made, %s is not what it was in the source", name)
		}
	}
	return nil
}

// compile makes a slug of the fixture.
func (p *Prover) compile(ctx context.Context, w *world, d Process) error {
	return p.build(ctx, w, d.ID)
}

// slugInside has a dyno say the fixture's text and, as build dynos are to run
// the runtime's own hoist-compile, a slug that this makes of the fixture.
const slugInside = "cat " + nonce + " && echo && hoist-compile . --output /tmp/slug >/dev/null && base64 -w 0 /tmp/slug && echo && echo proven"

// runtime starts a dyno of the fixture and passes on what it says.
func (p *Prover) runtime(ctx context.Context, w *world, d Process) error {
	if d.Worker == "" {
		return errors.New("it offers no room for dynos")
	}
	release, err := p.fixture(ctx, w)
	if err != nil {
		return fmt.Errorf("the fixture: %w", err)
	}
	secret := hoist.NewSecret()
	hash := sha256.Sum256([]byte(secret))
	dyno := hoist.Dyno{ID: hoist.NewID(), AppID: w.app.ID, ReleaseID: release.ID, Type: "run", Size: hoist.DefaultSize,
		Command: slugInside, SecretHash: hash[:], Timeout: time.Minute}
	address, err := p.cfg.DB.CreateProofDyno(ctx, dyno, d.Worker)
	if err != nil {
		return err
	}
	p.cfg.Bus.Ring(hoist.BellFormation+w.app.ID, nil)
	conn, err := rendezvous.Dial(ctx, address, secret)
	if err != nil {
		return fmt.Errorf("a dyno did not start: %w", err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	said, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	lines := strings.Fields(string(said))
	if err != nil || len(lines) != 3 || lines[2] != "proven" {
		return fmt.Errorf("a dyno said %.200q: %w", said, errors.Join(err, errors.New("not what was expected")))
	}
	if err := p.checkImage(ctx, base64.NewDecoder(base64.StdEncoding, strings.NewReader(lines[1])), lines[0]); err != nil {
		return fmt.Errorf("a build dyno: %w", err)
	}
	for wait(ctx) {
		now, err := p.cfg.DB.Dyno(ctx, w.app.ID, dyno.ID)
		if err != nil {
			return err
		}
		if now.State == hoist.DynoDown {
			if now.ExitCode == nil || *now.ExitCode != 0 {
				return fmt.Errorf("a dyno that ended well is noted as ended otherwise: %s", now.Reason)
			}
			return nil
		}
	}
	return errors.New("the end of a dyno was not noted")
}

// fixture is a release of the fixture app, of an earlier proof if there was one.
func (p *Prover) fixture(ctx context.Context, w *world) (hoist.Release, error) {
	for first := true; ; first = false {
		list, err := p.cfg.DB.Releases(ctx, w.app.ID)
		if err != nil {
			return hoist.Release{}, err
		}
		if len(list) > 0 && list[len(list)-1].SlugID != "" {
			return list[len(list)-1], nil
		}
		if !first {
			return hoist.Release{}, errors.New("it was not released")
		}
		if err := p.build(ctx, w, ""); err != nil {
			return hoist.Release{}, err
		}
	}
}
