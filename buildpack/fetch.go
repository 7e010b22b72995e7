package buildpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hoist-sh/hoist/buildpack/archive"
)

// Limits of a buildpack fetched from a URL.
var fetchLimits = archive.Limits{Size: 1 << 30, Files: 100_000}

var tarball = regexp.MustCompile(`\.(tgz|tar\.gz|tar)$`)

// Fetch brings the buildpack at a git or tarball URL ("…git#branch", "….tgz")
// into dir, which must not exist.
func Fetch(ctx context.Context, b *Build, source, dir string) (Script, error) {
	u, err := url.Parse(source)
	if err != nil { // which shows all of it
		return Script{}, fmt.Errorf("%q is not a buildpack URL", Redacted(source))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Script{}, err
	}
	switch {
	case u.Scheme == "":
		return Script{}, fmt.Errorf("%q is neither a built-in buildpack nor a URL; give its git or tarball URL instead", Redacted(source))
	case tarball.MatchString(u.Path):
		err = fetchTarball(ctx, u, dir)
	default:
		err = clone(ctx, b, u, dir)
	}
	if err != nil {
		return Script{}, fmt.Errorf("could not fetch the buildpack %s: %w", Redacted(source), err)
	}
	root := dir
	if _, err := os.Stat(filepath.Join(dir, "bin")); err != nil { // a code host's tarball
		if root, err = archive.Root(dir); err != nil {
			return Script{}, err
		}
	}
	if _, err := os.Stat(filepath.Join(root, "bin", "compile")); err != nil {
		return Script{}, fmt.Errorf("%s is not a buildpack: it has no bin/compile", Redacted(source))
	}
	return Script{Dir: root}, nil
}

// Redacted is a buildpack's name or URL as others may see it: without a password, or a token
// in place of a user's name.
func Redacted(source string) string {
	u, err := url.Parse(source)
	if err != nil { // what is before an @ may be part of one
		scheme, rest, isURL := strings.Cut(source, "://")
		if at := strings.LastIndexByte(rest, '@'); isURL && at >= 0 {
			return scheme + "://xxxxx" + rest[at:]
		}
		return source
	}
	if u.User == nil {
		return source
	}
	if _, secret := u.User.Password(); !secret && u.Scheme == "ssh" {
		return source // git@
	}
	u.User = url.User("xxxxx")
	return u.String()
}

func fetchTarball(ctx context.Context, u *url.URL, dir string) error {
	var body io.ReadCloser
	switch u.Scheme {
	case "file":
		f, err := os.Open(u.Path)
		if err != nil {
			return err
		}
		body = f
	case "http", "https":
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		var shown *url.Error // with the URL
		if errors.As(err, &shown) {
			err = shown.Err
		}
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			return errors.New(resp.Status)
		}
		body = resp.Body
	default:
		return fmt.Errorf("tarballs come by https, not %s", u.Scheme)
	}
	defer body.Close()
	return archive.Extract(body, dir, fetchLimits)
}

// clone fetches only the newest commit of the branch or tag, and everything if
// the fragment names a commit.
func clone(ctx context.Context, b *Build, u *url.URL, dir string) error {
	ref := u.Fragment
	bare := *u
	bare.Fragment = ""
	git := func(args ...string) error {
		cmd := b.Command(ctx, "git", args...)
		cmd.Dir = filepath.Dir(dir)
		cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=https:http:git:ssh:file")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("git: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	}
	shallow := []string{"clone", "--quiet", "--depth=1", "--recurse-submodules", "--shallow-submodules"}
	if ref != "" {
		shallow = append(shallow, "--branch="+ref)
	}
	err := git(append(shallow, "--", bare.String(), dir)...)
	if err == nil || ref == "" {
		return err
	}
	os.RemoveAll(dir)
	if err := git("clone", "--quiet", "--", bare.String(), dir); err != nil {
		return err
	}
	if err := git("-C", dir, "checkout", "--quiet", "--detach", ref+"^{commit}"); err != nil {
		return err
	}
	return git("-C", dir, "submodule", "--quiet", "update", "--init", "--recursive")
}
