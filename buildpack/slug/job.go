package slug

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/archive"
)

// Variables of a build dyno. URLs are presigned; there is no other credential.
const (
	EnvSource     = "HOIST_SOURCE_URL"            // GET: the source, a tar archive
	EnvChecksum   = "HOIST_SOURCE_CHECKSUM"       // "SHA256:hex" of it; may be empty
	EnvConfig     = "HOIST_ENV_URL"               // GET: the config vars, a JSON object
	EnvCacheGet   = "HOIST_CACHE_GET_URL"         // GET: the cache; 404 at first
	EnvCachePut   = "HOIST_CACHE_PUT_URL"         // PUT: the cache
	EnvChangesGet = "HOIST_CACHE_CHANGES_GET_URL" // GET: what has changed in the cache since; 404 at first
	EnvChangesPut = "HOIST_CACHE_CHANGES_PUT_URL" // PUT: the same
	EnvSlug       = "HOIST_SLUG_URL"              // PUT: the image
	EnvResult     = "HOIST_RESULT_URL"            // PUT: Result
	EnvBuildpacks = "HOIST_BUILDPACKS"            // JSON list of names and URLs
)

// Bounds of a build.
var sourceLimits = archive.Limits{Size: 2 << 30, Files: 500_000}

const (
	sourceLimit = 1 << 30 // bytes, compressed
	configLimit = 4 << 20
)

// Job is a build as a compile worker orders it: hoist-compile without a
// directory, in a dyno of its own.
type Job struct {
	Getenv  func(string) string
	Environ []string
	Out     *buildpack.Output
}

// IsJob reports whether the environment is that of a build dyno.
func IsJob(getenv func(string) string) bool { return getenv(EnvSource) != "" }

// Run does the build and reports its result, good or bad.
func (j Job) Run(ctx context.Context) error {
	result, err := j.build(ctx)
	if err != nil {
		var e *Error
		errors.As(failed(PhaseCompile, err), &e)
		errors.As(err, &e)
		result.Phase, result.Error = e.Phase.String(), err.Error()
	}
	text, jsonErr := json.Marshal(result)
	if jsonErr != nil {
		return failed(PhaseUpload, jsonErr)
	}
	putErr := put(ctx, j.Getenv(EnvResult), strings.NewReader(string(text)), int64(len(text)))
	if err == nil && putErr != nil {
		err = failed(PhaseUpload, fmt.Errorf("could not store the result: %w", putErr))
	}
	return err
}

func (j Job) build(ctx context.Context) (Result, error) {
	var packs []string
	if s := j.Getenv(EnvBuildpacks); s != "" {
		if err := json.Unmarshal([]byte(s), &packs); err != nil {
			return Result{}, failed(PhaseSettings, fmt.Errorf("%s: %w", EnvBuildpacks, err))
		}
	}
	w, err := newWorkDir()
	if err != nil {
		return Result{}, failed(PhaseFetch, err)
	}
	defer w.remove()
	b := &buildpack.Build{Dir: w.build, CacheDir: w.join("cache"), EnvDir: w.join("env"), Environ: Environ(j.Environ), Out: j.Out}
	cache, err := j.fetch(ctx, b, w)
	if err != nil {
		return Result{}, failed(PhaseFetch, err)
	}
	c := &Compiler{Build: b, Buildpacks: packs, Stack: b.Getenv("STACK"), Dir: w.join("buildpacks")}
	compiled, err := c.Compile(ctx)
	if err != nil {
		return Result{Buildpack: compiled.Buildpack}, err
	}
	image, err := Pack(ctx, b.Dir, w.join("slug.squashfs"), j.Out)
	if err != nil {
		return Result{}, err
	}
	f, err := os.Open(image.Path)
	if err != nil {
		return Result{}, failed(PhaseUpload, err)
	}
	defer f.Close()
	if err := put(ctx, j.Getenv(EnvSlug), f, image.Size); err != nil {
		return Result{}, failed(PhaseUpload, fmt.Errorf("could not store the slug: %w", err))
	}
	cache.save(ctx, w.join("cache.tar.zst"))
	return Result{
		Buildpack: compiled.Buildpack, ProcessTypes: compiled.ProcessTypes,
		SHA256: image.SHA256, Size: image.Size,
	}, nil
}

// fetch brings source, config vars and cache.
func (j Job) fetch(ctx context.Context, b *buildpack.Build, w workDir) (*cache, error) {
	if err := fetchSource(ctx, j.Getenv(EnvSource), j.Getenv(EnvChecksum), b.Dir, w); err != nil {
		return nil, fmt.Errorf("could not fetch the source: %w", err)
	}
	if url := j.Getenv(EnvConfig); url != "" {
		text, err := getBytes(ctx, url, configLimit)
		if err == nil {
			err = json.Unmarshal(text, &b.Config)
		}
		if err != nil {
			return nil, fmt.Errorf("could not fetch the config vars: %w", err)
		}
	}
	if err := buildpack.WriteEnvDir(b.EnvDir, b.Config); err != nil {
		return nil, err
	}
	return loadCache(ctx, b, cacheURLs{j.Getenv(EnvCacheGet), j.Getenv(EnvCachePut), j.Getenv(EnvChangesGet), j.Getenv(EnvChangesPut)})
}

// fetchSource unpacks the source into dir. Tarballs of code hosts hold a single
// directory, which then is the app.
func fetchSource(ctx context.Context, url, checksum, dir string, w workDir) error {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer body.Close()
	h := sha256.New()
	limited := &io.LimitedReader{R: body, N: sourceLimit}
	tee := io.TeeReader(limited, h)
	unpacked := w.join("source")
	if err := archive.Extract(tee, unpacked, sourceLimits); err != nil {
		if limited.N <= 0 {
			return fmt.Errorf("it is larger than %s", buildpack.HumanSize(sourceLimit))
		}
		return err
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	if got := "SHA256:" + hex.EncodeToString(h.Sum(nil)); checksum != "" && !strings.EqualFold(checksum, got) {
		return fmt.Errorf("its checksum is %s, not %s", got, checksum)
	}
	root, err := archive.Root(unpacked)
	if err != nil {
		return err
	}
	if name := filepath.Base(root); name == "public" || name == "public_html" { // a static site without anything else
		root = unpacked
	}
	return syscall.Rename(root, dir) // os.Rename takes the place of no directory, not even an empty one
}
