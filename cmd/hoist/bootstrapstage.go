package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
)

// stage compiles the source by the platform as it is, and waits until the
// result runs.
func (c *bootstrapCommand) stage(n int) (string, error) {
	if n == 1 && len(c.stages) == 1 { // it was compiled; whether it works is known when it has taken over
		if v := c.stages[0].Release; c.failed(strconv.Itoa(v)) {
			fmt.Fprintf(c.out, "       v%d did not prove itself; trying again\n", v)
			c.stages = nil
		}
	}
	if len(c.stages) >= n {
		return "done before: " + describe(c.stages[n-1]), nil
	}
	st, err := c.status()
	if err != nil {
		return "", err
	}
	by := compiler(st)
	begun := time.Now()
	if n == 1 {
		if err := c.show(c.work(), "git", "push", "hoist", "HEAD:main"); err != nil {
			return "", err
		}
	}
	build, err := c.newestBuild()
	if err != nil {
		return "", err
	}
	switch ours := build.Source.Version == c.commit; {
	case n > 1 && ours && build.Status == "pending" && build.ID != c.stages[n-2].Build: // asked for before we were stopped
		begun = build.Created
		if asked, ok := seed.Asked(c.settings); ok && asked.Number == n && asked.Build != build.ID {
			by = asked.By // its release may run by now
		}
		fmt.Fprintln(c.out, "       going on with the build that is under way")
		build, err = c.follow(build)
	case n > 1 || !ours || build.Status != "succeeded" || c.failed(build.Release.ID):
		asked := seed.Stage{Number: n, By: by, Build: build.ID}
		if err := seed.SaveStages(c.settings, append(slices.Clone(c.stages), asked)); err != nil {
			return "", err
		}
		build, err = c.rebuild()
	}
	if err != nil {
		return "", err
	}
	took := time.Since(begun)
	var slug struct {
		Checksum string `json:"checksum"`
		Size     int64  `json:"size"`
	}
	if err := c.api(http.MethodGet, "/apps/hoist/slugs/"+build.Slug.ID, nil, &slug); err != nil {
		return "", err
	}
	release, err := c.release(build.Release.ID)
	if err != nil {
		return "", err
	}
	sum := strings.TrimPrefix(strings.ToLower(slug.Checksum), "sha256:")
	s := seed.Stage{Number: n, Release: release.Version, Build: build.ID, Commit: c.commit, By: by, Slug: sum, Size: slug.Size, Took: took}
	if err := c.settle(build.Release.ID, n > 1); err != nil {
		return "", err
	}
	if s.Binary, err = c.binary(sum); err != nil {
		return "", err
	}
	c.stages = append(c.stages, s)
	return describe(s), seed.SaveStages(c.settings, c.stages)
}

// compiler is who takes builds: not a dyno that only finishes what it has.
func compiler(st seed.Status) string {
	var list []string
	if st.System != nil {
		for _, d := range st.System.Dynos {
			if strings.HasPrefix(d.Name, hoist.ComponentCompile+".") && d.State == string(hoist.DynoUp) {
				list = append(list, fmt.Sprintf("%s (v%d)", d.Name, d.Version))
			}
		}
	}
	return cmp.Or(strings.Join(list, ", "), "the seed's compile")
}

func describe(s seed.Stage) string {
	return fmt.Sprintf("v%d by %s in %s\nslug   %s (%d bytes)\nbinary %s", s.Release, s.By, s.Took.Round(time.Second), s.Slug, s.Size, s.Binary)
}

// takeOver scales the app up; its dynos then do the seed's work.
func (c *bootstrapCommand) takeOver() (string, error) {
	st, err := c.status()
	if err != nil {
		return "", err
	}
	if st.System == nil || len(st.System.Dynos) == 0 {
		args := []string{"ps:scale", "-a", c.app}
		for _, name := range hoist.Components {
			args = append(args, name+"=1")
		}
		if _, err := c.hoist(args...); err != nil {
			return "", err
		}
	}
	if err := c.settle("", true); err != nil {
		return "", err
	}
	return c.hoist("ps", "-a", c.app)
}

type builtRelease struct {
	ID      string              `json:"id"`
	Version int                 `json:"version"`
	Status  string              `json:"status"`
	Current bool                `json:"current"`
	Slug    struct{ ID string } `json:"slug"`
}

func (c *bootstrapCommand) release(id string) (r builtRelease, err error) {
	return r, c.api(http.MethodGet, "/apps/hoist/releases/"+id, nil, &r)
}

// failed reports whether a release, by its ID or version, is known not to work.
func (c *bootstrapCommand) failed(release string) bool {
	r, err := c.release(release)
	return err == nil && r.Status == hoist.ReleaseFailed
}

// currentRelease is the one that shall run.
func (c *bootstrapCommand) currentRelease() (current builtRelease, err error) {
	var list []builtRelease
	if err := c.api(http.MethodGet, "/apps/hoist/releases", nil, &list); err != nil {
		return current, err
	}
	i := slices.IndexFunc(list, func(r builtRelease) bool { return r.Current })
	if i < 0 {
		return current, errors.New("the app has no current release")
	}
	return list[i], nil
}

// away is how long the seed may not answer while it is replaced, or all be at rest without dynos.
const away = 30 * time.Second

// settle waits until a release (or any, if that is empty) is what runs, in dynos if there
// shall be any.
func (c *bootstrapCommand) settle(release string, dynos bool) error {
	said, answered, moved := "", time.Now(), time.Now()
	for ; ; c.pause() {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		st, err := c.status()
		if err != nil {
			if time.Since(answered) > away {
				return err
			}
			continue
		}
		answered = time.Now()
		y := st.System
		if y != nil && y.Failed != "" {
			return errors.New(y.Failed)
		}
		if what := strings.Join(st.WaitsFor, ", "); what != said && what != "" {
			said = what
			fmt.Fprintf(c.out, "       waiting for %s\n", what)
		}
		if y == nil || !y.Settled || !st.Ready {
			moved = time.Now()
			continue
		}
		if inside := insideOf(st); dynos && len(inside) > 0 {
			if time.Since(moved) > away {
				return fmt.Errorf("no dyno does the work of %s; `hoist seed status` shows what does, `hoist seed rescue COMPONENT --back` ends a rescue, `hoist ps:scale -a %s` makes dynos",
					strings.Join(inside, ", "), hoist.SystemApp)
			}
			continue
		}
		if release == "" {
			return nil
		}
		r, err := c.release(release)
		switch {
		case err != nil:
			return err
		case r.Status == hoist.ReleaseFailed:
			return fmt.Errorf("v%d failed; `hoist releases -a %s` says why", r.Version, hoist.SystemApp)
		case r.Status == hoist.ReleaseExpired:
			return fmt.Errorf("another release took the place of v%d; `hoist releases -a %s` lists them", r.Version, hoist.SystemApp)
		case r.Status == hoist.ReleaseSucceeded:
			return nil
		}
	}
}

// insideOf lists the components whose work no dyno does.
func insideOf(st seed.Status) (list []string) {
	for _, t := range st.Tasks {
		if slices.Contains(hoist.Components, t.Name) && len(t.By) == 0 {
			list = append(list, t.Name)
		}
	}
	return list
}

func (c *bootstrapCommand) pause() {
	select {
	case <-c.ctx.Done():
	case <-time.After(500 * time.Millisecond):
	}
}

type builtStage struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Source struct {
		Version string `json:"version"`
	} `json:"source_blob"`
	Slug    struct{ ID string } `json:"slug"`
	Release struct{ ID string } `json:"release"`
	Created time.Time           `json:"created_at"`
}

func (c *bootstrapCommand) builds() (list []builtStage, err error) {
	return list, c.api(http.MethodGet, "/apps/hoist/builds", nil, &list)
}

func (c *bootstrapCommand) newestBuild() (newest builtStage, err error) {
	list, err := c.builds()
	for _, b := range list {
		if b.Created.After(newest.Created) {
			newest = b
		}
	}
	return newest, err
}

// rebuild has the platform compile the commit again: what git has already
// cannot be pushed.
func (c *bootstrapCommand) rebuild() (build builtStage, err error) {
	var source struct {
		Blob struct {
			Get string `json:"get_url"`
			Put string `json:"put_url"`
		} `json:"source_blob"`
	}
	if err := c.api(http.MethodPost, "/apps/hoist/sources", nil, &source); err != nil {
		return build, err
	}
	var archive bytes.Buffer
	cmd := exec.CommandContext(c.ctx, "git", "-C", c.work(), "archive", "--format=tar.gz", c.commit)
	cmd.Stdout = &archive
	if err := cmd.Run(); err != nil {
		return build, fmt.Errorf("git archive: %w", err)
	}
	if err := c.request(http.MethodPut, source.Blob.Put, &archive, nil); err != nil {
		return build, err
	}
	if err := c.api(http.MethodPost, "/apps/hoist/builds", map[string]any{
		"source_blob": map[string]string{"url": source.Blob.Get, "version": c.commit}}, &build); err != nil {
		return build, err
	}
	return c.follow(build)
}

// follow shows a build until it has ended well, and returns it as it is then.
func (c *bootstrapCommand) follow(build builtStage) (builtStage, error) {
	for shown := false; ; {
		// The output breaks off when the api or the router that passes it on is
		// replaced meanwhile; the build goes on, and says itself how it ended.
		if !shown {
			if err := c.show("", c.self, "builds:output", build.ID, "-a", c.app); err != nil {
				fmt.Fprintln(c.out, "       the output broke off; the build goes on")
			} else {
				shown = true
			}
		}
		if err := c.api(http.MethodGet, "/apps/hoist/builds/"+build.ID, nil, &build); err != nil {
			return build, err
		}
		switch build.Status {
		case "succeeded":
			return build, nil
		case "failed":
			return build, fmt.Errorf("build %s failed; `hoist builds:output %[1]s -a hoist` shows why", build.ID)
		}
		select {
		case <-c.ctx.Done():
			return build, c.ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
