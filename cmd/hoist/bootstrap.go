package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
It may be stopped at any point and run again.`,
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
	for _, s := range []struct {
		what string
		do   func() (string, error)
	}{
		{"Stage 0: the platform inside the seed", c.start},
		{"Logging in", c.account},
		{"Adding an SSH key", c.key},
		{"Making the app " + hoist.SystemApp, c.system},
		{"Stage 1: compiled by stage 0", func() (string, error) { return c.stage(1) }},
		{"Taking over from the seed", c.takeOver},
		{"Stage 2: compiled by stage 1, without a build cache", func() (string, error) { return c.stage(2) }},
		{"Stage 3: compiled by stage 2, without a build cache", func() (string, error) { return c.stage(3) }},
		{"Comparing", c.compare},
	} {
		begun := time.Now()
		fmt.Fprintf(c.out, "-----> %s\n", s.what)
		said, err := s.do()
		if err != nil {
			return fmt.Errorf("%s: %w\nRun it again when that is mended; what is done stays done.", s.what, err)
		}
		fmt.Fprintf(c.out, "       %s (%.1fs)\n", strings.ReplaceAll(said, "\n", "\n       "), time.Since(begun).Seconds())
	}
	return nil
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
	work := c.work()
	source, err := filepath.Abs(c.source)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(work, ".git")); err != nil {
		if _, err := c.exec("git", "clone", "-q", source, work); err != nil {
			return "", err
		}
	} else if len(c.stages) == 0 {
		if _, err := c.exec("git", "-C", work, "pull", "-q", "--ff-only", source, "HEAD"); err != nil {
			return "", err
		}
	}
	if _, err := c.create(); err != nil { // the remote
		return "", err
	}
	if c.commit, err = c.exec("git", "-C", work, "rev-parse", "HEAD"); err != nil {
		return "", err
	}
	if len(c.stages) > 0 && c.stages[0].Commit != c.commit {
		c.stages = nil // of another source
	}
	// From here on everything is compiled anew, until the end.
	if flags, _ := c.hoist("config:get", "GOFLAGS", "-a", c.app); flags != "-a" && len(c.stages) < 3 {
		if _, err := c.hoist("config:set", "GOFLAGS=-a", "-a", c.app); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("commit %.12s, working copy in %s", c.commit, work), nil
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
	var release struct {
		Version int `json:"version"`
	}
	if err := c.api(http.MethodGet, "/apps/hoist/releases/"+build.Release.ID, nil, &release); err != nil {
		return "", err
	}
	sum := strings.TrimPrefix(strings.ToLower(slug.Checksum), "sha256:")
	s := seed.Stage{Number: n, Release: release.Version, Build: build.ID, Commit: c.commit, By: by, Slug: sum, Size: slug.Size, Took: took}
	if err := c.settle(release.Version, n > 1); err != nil {
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
	if err := c.settle(0, true); err != nil {
		return "", err
	}
	return c.hoist("ps", "-a", c.app)
}

// settle waits until a release (0 for any) is what runs, in dynos if there
// shall be any.
func (c *bootstrapCommand) settle(version int, dynos bool) error {
	said := ""
	for {
		st, err := c.status()
		if err != nil {
			return err
		}
		y := st.System
		switch {
		case y != nil && y.Failed != "":
			return errors.New(y.Failed)
		case y != nil && y.Settled && st.Ready && (version == 0 || y.Version >= version) && (!dynos || len(y.Dynos) >= len(hoist.Components)):
			inside := 0
			for _, t := range st.Tasks {
				if dynos && len(t.By) == 0 && t.Name != "postgres" && t.Name != "nats" && t.Name != "blobs" {
					inside++
				}
			}
			if inside == 0 {
				return nil
			}
		}
		if what := strings.Join(st.WaitsFor, ", "); what != said && what != "" {
			said = what
			fmt.Fprintf(c.out, "       waiting for %s\n", what)
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(time.Second):
		}
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
		if err := c.settle(0, true); err != nil {
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
