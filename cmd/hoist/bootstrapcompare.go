package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
)

// compare is the end of compiling anew: the stages are compared, and a build may use its
// cache again. Stages that differ are compared again, and named, whenever this is run again.
func (c *bootstrapCommand) compare() (string, error) {
	if err := c.withCache(); err != nil {
		return "", err
	}
	one, two, three := c.stages[0], c.stages[1], c.stages[2]
	if two.Slug != three.Slug {
		differ, err := c.differences(two.Slug, three.Slug)
		if err != nil {
			differ = fmt.Sprintf("their slugs, %s and %s, which cannot be read: %v", two.Slug, three.Slug, err)
		}
		return "", fmt.Errorf("stage 2 and stage 3 differ in:\n%s\nThe source does not compile to the same twice. Another commit is compiled from stage 1 on.", differ)
	}
	own, err := hoist.FileSHA256(c.self)
	if err != nil {
		return "", err
	}
	said := "stage 2 = stage 3, bit for bit"
	if one.Slug == two.Slug {
		said = "stage 1 = " + said
	}
	if own == three.Binary {
		said += "\nthe seed's own program, built on the host, is the same"
	} else {
		said += fmt.Sprintf("\nthe seed's own program is another: %s", own)
	}
	c.stages[2].Compared = true
	return said, seed.SaveStages(c.settings, c.stages)
}

// compared reports whether nothing is left to do of the three stages.
func (c *bootstrapCommand) compared() bool { return len(c.stages) == 3 && c.stages[2].Compared }

// differ reports whether there are three stages, and the last two are not the same.
func (c *bootstrapCommand) differ() bool {
	return len(c.stages) == 3 && c.stages[1].Slug != c.stages[2].Slug
}

// withoutCache has everything compiled anew, and withCache no longer.
const withoutCache = "-a" // GOFLAGS

func (c *bootstrapCommand) withCache() error {
	if flags, _ := c.hoist("config:get", "GOFLAGS", "-a", c.app); flags == withoutCache {
		if _, err := c.hoist("config:unset", "GOFLAGS", "-a", c.app); err != nil {
			return err
		}
	}
	current, err := c.currentRelease()
	if err != nil {
		return err
	}
	return c.settle(current.ID, true)
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

// differences names the files in which the slugs of stages 2 and 3 differ, a line each.
func (c *bootstrapCommand) differences(two, three string) (string, error) {
	dir, err := os.MkdirTemp("", "hoist-compare")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	var trees []map[string]string
	for _, slug := range []string{two, three} {
		to := filepath.Join(dir, slug)
		if _, err := output(exec.CommandContext(c.ctx, "unsquashfs", "-q", "-n", "-d", to, c.settings.SystemSlug(slug))); err != nil {
			return "", err
		}
		tree, err := files(to)
		if err != nil {
			return "", err
		}
		trees = append(trees, tree)
	}
	all := maps.Clone(trees[0])
	maps.Copy(all, trees[1])
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, inTwo := trees[0][name]
		b, inThree := trees[1][name]
		switch {
		case !inThree:
			lines = append(lines, name+" (in stage 2 only)")
		case !inTwo:
			lines = append(lines, name+" (in stage 3 only)")
		case a != b:
			lines = append(lines, fmt.Sprintf("%s (%s, %s)", name, a, b))
		}
	}
	if len(lines) == 0 {
		return "nothing but the order or the times of files", nil
	}
	return strings.Join(lines, "\n"), nil
}

// files are those in a directory: what is compared of each, by its path there.
func files(dir string) (map[string]string, error) {
	tree := map[string]string{}
	return tree, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		is, more := info.Mode().String(), ""
		switch info.Mode().Type() {
		case 0:
			more, err = hoist.FileSHA256(path)
			is = fmt.Sprintf("%s %d bytes", is, info.Size())
		case fs.ModeSymlink:
			more, err = os.Readlink(path)
		}
		name, relErr := filepath.Rel(dir, path)
		tree[name] = strings.TrimSpace(is + " " + more)
		return errors.Join(err, relErr)
	})
}
