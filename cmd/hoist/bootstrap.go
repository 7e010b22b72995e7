package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

func init() { commands = append(commands, (&bootstrapCommand{}).command()) }

// bootstrapCommand moves the platform onto itself, in the stages of
// docs/bootstrap.md. What is done stays done; run again, it goes on.
type bootstrapCommand struct {
	upCommand
	source   string
	settings seed.Settings
	commit   string
	stages   []seed.Stage
}

func (c *bootstrapCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bootstrap", Short: "Have the platform compile and run itself, in stages", GroupID: "platform",
		Long: `Have the platform compile and run itself. Stage 0 is what runs inside the seed.
Stage 1 is compiled by stage 0 and takes over from it; stage 2 is compiled by
stage 1, stage 3 by stage 2, both without a build cache; they must be equal bit for bit.
At the end it proves itself. It may be stopped at any point and run again; what
runs then is a whole platform at any stage. Run again with another commit in DIR, that is
pushed, and the platform upgrades itself.`,
		Example: "$ hoist bootstrap --source .", Args: cobra.NoArgs, RunE: c.run,
	}
	c.add(cmd, false)
	cmd.Flags().StringVar(&c.source, "source", ".", "git repository `DIR` of the platform's source")
	return cmd
}

func (c *bootstrapCommand) run(cmd *cobra.Command, _ []string) (err error) {
	c.ctx, c.out, c.app = cmd.Context(), cmd.OutOrStdout(), hoist.SystemApp
	if os.Geteuid() != 0 {
		return errors.New("This needs root: the system app gets the platform's privileges. Use sudo.")
	}
	if c.settings, err = c.saved(); err != nil {
		return err
	}
	c.dataDir, c.public = c.settings.DataDir, c.settings.Public()
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	if c.home, err = os.UserHomeDir(); err != nil {
		return err
	}
	if c.stages, err = seed.Stages(c.settings); err != nil {
		return err
	}
	steps := []bootstrapStep{
		{"Stage 0: the platform inside the seed", c.start},
		{"Logging in", c.account},
		{"Adding an SSH key", c.key},
		{"Making the app " + hoist.SystemApp, c.system},
	}
	if len(c.stages) == 3 {
		steps = append(steps, bootstrapStep{"Upgrading", c.upgrade})
	} else {
		steps = append(steps,
			bootstrapStep{"Stage 1: compiled by stage 0", func() (string, error) { return c.stage(1) }},
			bootstrapStep{"Taking over from the seed", c.takeOver},
			bootstrapStep{"Stage 2: compiled by stage 1, without a build cache", func() (string, error) { return c.stage(2) }},
			bootstrapStep{"Stage 3: compiled by stage 2, without a build cache", func() (string, error) { return c.stage(3) }},
			bootstrapStep{"Comparing", c.compare})
	}
	steps = append(steps, bootstrapStep{"Proving that all parts work", c.smoke})
	whole := time.Now()
	for _, s := range steps {
		begun := time.Now()
		fmt.Fprintf(c.out, "-----> %s\n", s.what)
		said, err := s.do()
		if err != nil {
			return fmt.Errorf("%s: %w\nWhat is done stays done; when that is mended, run it again.", s.what, err)
		}
		fmt.Fprintf(c.out, "       %s (%.1fs)\n", strings.ReplaceAll(said, "\n", "\n       "), time.Since(begun).Seconds())
	}
	fmt.Fprintf(c.out, "\nThe platform runs on itself, after %s. Change it and push it again:\n  cd %s && git push hoist HEAD:main\n",
		time.Since(whole).Round(time.Second), c.work())
	return nil
}

type bootstrapStep struct {
	what string
	do   func() (said string, err error)
}

// system makes the app and the working copy that a person may change and push.
func (c *bootstrapCommand) system() (string, error) {
	email, err := c.hoist("whoami")
	if err != nil {
		return "", err
	}
	if _, err := c.hoist(append(c.seedArgs("system"), email)...); err != nil {
		return "", err
	}
	if err := c.checkOut(); err != nil {
		return "", err
	}
	if _, err := c.create(); err != nil { // the remote
		return "", err
	}
	if c.commit, err = c.exec("git", "-C", c.work(), "rev-parse", "HEAD"); err != nil {
		return "", err
	}
	if len(c.stages) > 0 && len(c.stages) < 3 && c.stages[0].Commit != c.commit {
		c.stages = nil // of another source
	}
	// From here on everything is compiled anew, until the end.
	if flags, _ := c.hoist("config:get", "GOFLAGS", "-a", c.app); flags != "-a" && len(c.stages) < 3 {
		if _, err := c.hoist("config:set", "GOFLAGS=-a", "-a", c.app); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("commit %.12s, working copy in %s", c.commit, c.work()), nil
}

// checkOut makes the working copy, or brings it up to date. What a person committed
// there stays; what is no git repository becomes one.
func (c *bootstrapCommand) checkOut() error {
	work := c.work()
	source, err := filepath.Abs(c.source)
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(work, ".git"))
	there := err == nil
	_, err = c.exec("git", "-C", source, "rev-parse", "HEAD")
	switch isRepository := err == nil; {
	case there && !isRepository:
	case there:
		if _, err := c.exec("git", "-C", work, "pull", "-q", "--ff-only", source, "HEAD"); err != nil {
			fmt.Fprintf(c.out, "       %s has commits of its own; they stay, and nothing is taken from %s\n", work, source)
		}
	case isRepository:
		_, err = c.exec("git", "clone", "-q", source, work)
	default:
		if _, err = c.exec("cp", "-a", source, work); err == nil {
			_, err = c.exec("sh", "-c", `cd "$0" && git init -q -b main && git add . && git -c user.name=hoist -c user.email=hoist@localhost commit -q -m "hoist"`, work)
		}
	}
	if err != nil && !there {
		return err
	}
	return c.giveBack(work)
}

// giveBack gives files to the person behind sudo(8).
func (c *bootstrapCommand) giveBack(dir string) error {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil {
		return nil
	}
	gid, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, gid))
	})
}

// upgrade pushes what has changed since the platform runs on itself.
func (c *bootstrapCommand) upgrade() (string, error) {
	build, err := c.newestBuild()
	if err != nil {
		return "", err
	}
	if build.Source.Version == c.commit && build.Status == "succeeded" {
		return "commit " + c.commit[:12] + " runs already", nil
	}
	if err := c.show(c.work(), "git", "push", hoist.SystemApp, "HEAD:main"); err != nil {
		return "", err
	}
	return "commit " + c.commit[:12] + " runs", c.settle("", true)
}

// smoke has every part of the platform do a task.
func (c *bootstrapCommand) smoke() (string, error) {
	list, err := prove(c.ctx, c.settings, indented{c.out})
	return fmt.Sprintf("all %d do their task", len(list)), err
}

// indented writes lines as the output of a step.
type indented struct{ io.Writer }

func (w indented) Write(b []byte) (int, error) {
	_, err := fmt.Fprintf(w.Writer, "       %s", b)
	return len(b), err
}

// stage compiles the source by the platform as it is, and waits until the
// result runs.
func (c *bootstrapCommand) stage(n int) (string, error) {
	if len(c.stages) >= n {
		return "done before: " + describe(c.stages[n-1]), nil
	}
	st, err := c.status()
	if err != nil {
		return "", err
	}
	by := "the seed's compile"
	for _, t := range st.Tasks {
		if t.Name == hoist.ComponentCompile && len(t.By) > 0 {
			by = strings.Join(t.By, ", ")
		}
	}
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
	if n > 1 || build.Source.Version != c.commit || build.Status != "succeeded" {
		if err := c.rebuild(); err != nil {
			return "", err
		}
		if build, err = c.newestBuild(); err != nil {
			return "", err
		}
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
	Version int    `json:"version"`
	Status  string `json:"status"`
}

func (c *bootstrapCommand) release(id string) (r builtRelease, err error) {
	return r, c.api(http.MethodGet, "/apps/hoist/releases/"+id, nil, &r)
}

// away is how long the seed may not answer while it is replaced.
const away = 30 * time.Second

// settle waits until a release (or any, if that is empty) is what runs, in dynos if there
// shall be any.
func (c *bootstrapCommand) settle(release string, dynos bool) error {
	said, answered := "", time.Now()
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
		if y == nil || !y.Settled || !st.Ready || dynos && !allOutside(st) {
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
		case r.Status == hoist.ReleaseSucceeded:
			return nil
		}
	}
}

// allOutside reports whether every component's work is done by dynos.
func allOutside(st seed.Status) bool {
	for _, t := range st.Tasks {
		if slices.Contains(hoist.Components, t.Name) && len(t.By) == 0 {
			return false
		}
	}
	return true
}

func (c *bootstrapCommand) pause() {
	select {
	case <-c.ctx.Done():
	case <-time.After(500 * time.Millisecond):
	}
}

// compare is the end.
func (c *bootstrapCommand) compare() (string, error) {
	two, three := c.stages[1], c.stages[2]
	own, err := fileSum(c.self)
	if err != nil {
		return "", err
	}
	said := "stage 2 = stage 3, bit for bit"
	if two.Slug != three.Slug {
		differ, err := c.differences(two.Slug, three.Slug)
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("stage 2 and stage 3 differ in:\n%s", differ)
	}
	if c.stages[0].Slug == two.Slug {
		said = "stage 1 = " + said
	}
	if own == three.Binary {
		said += "\nthe seed's own program, built on the host, is the same"
	} else {
		said += fmt.Sprintf("\nthe seed's own program is another: %s", own)
	}
	if flags, _ := c.hoist("config:get", "GOFLAGS", "-a", c.app); flags == "-a" {
		if _, err := c.hoist("config:unset", "GOFLAGS", "-a", c.app); err != nil {
			return "", err
		}
		time.Sleep(hoist.ResyncInterval)
		if err := c.settle("", true); err != nil {
			return "", err
		}
	}
	return said, nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// binary is the SHA-256 of bin/hoist in a slug.
func (c *bootstrapCommand) binary(slug string) (string, error) {
	cmd := exec.CommandContext(c.ctx, "unsquashfs", "-cat", c.settings.SystemSlug(slug), "bin/hoist")
	sum := sha256.New()
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = sum, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// differences names the files in which two slugs differ.
func (c *bootstrapCommand) differences(a, b string) (string, error) {
	dir, err := os.MkdirTemp("", "hoist-compare")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for name, slug := range map[string]string{"stage2": a, "stage3": b} {
		if _, err := c.exec("unsquashfs", "-q", "-n", "-d", filepath.Join(dir, name), c.settings.SystemSlug(slug)); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(c.ctx, "diff", "-rq", "stage2", "stage3")
	cmd.Dir = dir
	out, _ := cmd.Output() // 1 means that they differ
	if len(out) == 0 {
		return "nothing but the order or the times of files", nil
	}
	return strings.TrimSpace(string(out)), nil
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

func (c *bootstrapCommand) newestBuild() (newest builtStage, err error) {
	var list []builtStage
	err = c.api(http.MethodGet, "/apps/hoist/builds", nil, &list)
	for _, b := range list {
		if b.Created.After(newest.Created) {
			newest = b
		}
	}
	return newest, err
}

// rebuild has the platform compile the commit again: what git has already
// cannot be pushed.
func (c *bootstrapCommand) rebuild() error {
	var source struct {
		Blob struct {
			Get string `json:"get_url"`
			Put string `json:"put_url"`
		} `json:"source_blob"`
	}
	if err := c.api(http.MethodPost, "/apps/hoist/sources", nil, &source); err != nil {
		return err
	}
	var archive bytes.Buffer
	cmd := exec.CommandContext(c.ctx, "git", "-C", c.work(), "archive", "--format=tar.gz", c.commit)
	cmd.Stdout = &archive
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("git archive: %w", err)
	}
	if err := c.request(http.MethodPut, source.Blob.Put, &archive, nil); err != nil {
		return err
	}
	var build builtStage
	if err := c.api(http.MethodPost, "/apps/hoist/builds", map[string]any{
		"source_blob": map[string]string{"url": source.Blob.Get, "version": c.commit}}, &build); err != nil {
		return err
	}
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
			return err
		}
		switch build.Status {
		case "succeeded":
			return nil
		case "failed":
			return fmt.Errorf("build %s failed; `hoist builds:output %[1]s -a hoist` shows why", build.ID)
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// api calls the Platform API as the person who is logged in.
func (c *bootstrapCommand) api(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	return c.request(method, strings.TrimSuffix(c.public.URL("api"), "/")+path, body, out)
}

func (c *bootstrapCommand) request(method, url string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(c.ctx, method, url, body)
	if err != nil {
		return err
	}
	if strings.HasPrefix(url, c.public.URL("api")) || strings.HasPrefix(url, strings.TrimSuffix(c.public.URL("api"), "/")) {
		token, err := c.token()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "application/vnd.heroku+json; version=3")
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := localClient(c.public).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.300s", method, req.URL.Path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// token is that of the login.
func (c *bootstrapCommand) token() (string, error) {
	if key := os.Getenv("HOIST_API_KEY"); key != "" {
		return key, nil
	}
	dir, err := c.configDir()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, "credentials"))
	if err != nil {
		return "", err
	}
	var kept struct {
		Platforms map[string]struct{ Token string } `json:"platforms"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return "", err
	}
	return kept.Platforms[os.Getenv("HOIST_HOST")].Token, nil
}
