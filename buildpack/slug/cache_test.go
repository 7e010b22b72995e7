package slug_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

// store is a blob store with a key for each of a build's URLs.
type store struct {
	*httptest.Server
	mu    sync.Mutex
	blobs map[string][]byte
	puts  []string
}

func newStore(t *testing.T) *store {
	s := &store{blobs: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/")
	if r.Method == http.MethodPut {
		s.blobs[key], _ = io.ReadAll(r.Body)
		s.puts = append(s.puts, key)
		return
	}
	text, there := s.blobs[key]
	if !there {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(text)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	w.Write(text)
}

// cached is an app whose buildpack shows what is in its cache, then runs a script in it.
type cached struct {
	t     *testing.T
	store *store
	pack  string
	older bool // the compile worker knows nothing of changes
}

func newCached(t *testing.T) *cached {
	c := &cached{t: t, store: newStore(t)}
	c.pack = repository(t, map[string]string{
		"bin/detect": "#!/bin/sh\necho Cached\n",
		"bin/compile": `#!/bin/bash
cd "$2"; for f in $(find . -type f | sort); do echo "found $f: $(head -c 20 "$f")"; done
bash -eu "$1/script"
`})
	return c
}

// build runs a build as a compile worker orders it. It returns what the output
// says of the cache and what was stored of it.
func (c *cached) build(script string) (found []string, stored string) {
	c.t.Helper()
	source := write(c.t, c.t.TempDir(), map[string]string{"script": script, "Procfile": "web: x\n"})
	tar, err := exec.Command("tar", "-C", source, "-cz", ".").Output()
	if err != nil {
		c.t.Fatal(err)
	}
	c.store.mu.Lock()
	c.store.blobs["source"], c.store.puts = tar, nil
	c.store.mu.Unlock()
	tmp := c.t.TempDir()
	c.t.Setenv("TMPDIR", tmp)
	env := map[string]string{slug.EnvBuildpacks: `["` + c.pack + `"]`}
	for name, key := range map[string]string{
		slug.EnvSource: "source", slug.EnvSlug: "slug", slug.EnvResult: "result", slug.EnvCacheGet: "whole", slug.EnvCachePut: "whole",
		slug.EnvChangesGet: "changes", slug.EnvChangesPut: "changes",
	} {
		if key != "changes" || !c.older {
			env[name] = c.store.URL + "/" + key
		}
	}
	var out bytes.Buffer
	job := slug.Job{Getenv: func(k string) string { return env[k] }, Environ: os.Environ(), Out: buildpack.NewOutput(&out)}
	if err := job.Run(context.Background()); err != nil {
		c.t.Fatalf("%v\n%s", err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "found ./"); ok {
			found = append(found, text)
		} else if strings.Contains(line, "build cache") {
			found = append(found, line)
		}
	}
	for _, key := range c.store.puts {
		if key == "whole" || key == "changes" {
			stored += key
		}
	}
	return found, stored
}

// expects runs a build that has to find just that, and to store that.
func (c *cached) expects(script, stored string, found ...string) {
	c.t.Helper()
	got, put := c.build(script)
	if !slices.Equal(got, found) {
		c.t.Errorf("%q: it found %q, want %q", script, got, found)
	}
	if put != stored {
		c.t.Errorf("%q: it stored %q, want %q", script, put, stored)
	}
}

const large = "head -c 100000 /dev/urandom | base64 >large; echo base >large.head; cat large >>large.head; mv large.head large"

func TestABuildStoresWhatItChangedInTheCache(t *testing.T) {
	c := newCached(t)
	c.expects(large, "whole")
	whole := len(c.store.blobs["whole"])
	c.expects("echo one >small", "changes", "large: base")
	if n := len(c.store.blobs["changes"]); n == 0 || n > whole/10 {
		t.Errorf("the changes have %d bytes, the whole has %d", n, whole)
	}
	c.expects("", "", "large: base", "small: one")
	c.expects("cat small >tmp; mv tmp small; touch -d 2001-01-01 small", "changes", "large: base", "small: one")
	c.expects("[ $(date -r small +%Y) = 2001 ]; rm small; echo two >other", "changes", "large: base", "small: one")
	c.expects("", "", "large: base", "other: two")
	// Much of it changes, so all is stored; the earlier changes mean nothing any more.
	c.expects(large+"; rm other; echo three >third", "whole", "large: base", "other: two")
	c.expects("", "", "large: base", "third: three")
	c.expects("echo four >fourth", "changes", "large: base", "third: three")
	c.expects("", "", "fourth: four", "large: base", "third: three")
	// So does what is there no more.
	c.expects("rm large", "whole", "fourth: four", "large: base", "third: three")
	c.expects("", "", "fourth: four", "third: three")
}

// withoutEnd builds with the end missing of the whole or of the changes.
func (c *cached) withoutEnd(of, script string) (found []string, stored string) {
	c.t.Helper()
	c.expects(large+"; echo base >other", "whole")
	c.expects("rm other; echo one >small", "changes", "large: base", "other: base")
	c.store.blobs[of] = c.store.blobs[of][:len(c.store.blobs[of])-20]
	return c.build(script)
}

func TestACacheThatCannotBeReadStartsEmpty(t *testing.T) {
	c := newCached(t)
	found, stored := c.withoutEnd("whole", "echo new >new")
	if len(found) != 1 || !strings.Contains(found[0], "cannot be read and starts empty") || stored != "whole" {
		t.Errorf("%q %q", found, stored)
	}
	c.expects("", "", "new: new")
}

func TestChangesThatCannotBeReadAreForgotten(t *testing.T) {
	c := newCached(t)
	found, stored := c.withoutEnd("changes", "")
	if len(found) != 3 || !strings.Contains(found[0], "is forgotten") || found[1] != "large: base" || found[2] != "other: base" || stored != "changes" {
		t.Errorf("%q %q", found, stored)
	}
	c.expects("", "", "large: base", "other: base")
}

func TestCachesAreSharedWithAnOlderCompileWorker(t *testing.T) {
	c := newCached(t)
	c.older = true
	c.expects(large, "whole")
	c.expects("echo one >small", "whole", "large: base")
	c.older = false
	c.expects("echo two >second", "changes", "large: base", "small: one")
	c.older = true
	c.expects("echo three >third", "whole", "large: base", "small: one")
	c.older = false
	c.expects("", "", "large: base", "small: one", "third: three")
}

func TestACacheThatIsTooLargeStartsAfresh(t *testing.T) {
	c := newCached(t)
	c.expects(large, "whole")
	slug.SetCacheLimit(t, 150_000)
	found, stored := c.build("head -c 100000 /dev/urandom >second")
	if len(found) != 2 || !strings.Contains(found[1], "is larger than 146K; the next build starts with an empty one") || stored != "whole" {
		t.Errorf("%q %q", found, stored)
	}
	c.expects("echo one >small", "whole")
	c.expects("", "", "small: one")
}

func TestABuildThatRemovesItsCacheDirectorySaysSo(t *testing.T) {
	c := newCached(t)
	c.expects(large, "whole")
	found, stored := c.build("rm -rf ../" + filepath.Base("cache"))
	if len(found) != 2 || !strings.Contains(found[1], "could not be stored") || stored != "" {
		t.Errorf("%q %q", found, stored)
	}
}
