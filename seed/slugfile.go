package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hoist-sh/hoist"
)

// whole checks that a local slug is there and what it was when it came; a
// damaged one is removed, so that it is fetched again.
func (y *system) whole(sum string) error {
	path := y.slugFile(sum)
	got, err := hoist.FileSHA256(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("its slug %.12s is not here", sum)
	case err != nil:
		return fmt.Errorf("its slug cannot be read: %w", err)
	}
	if got != sum {
		os.Remove(path)
		return fmt.Errorf("its slug %.12s is damaged (its checksum is %.12s)", sum, got)
	}
	return nil
}

// slugless reports whether no dyno of a good release can be started, as its slug is neither here nor to
// be had. Then nobody need be waited for.
func (y *system) slugless(want *desired) bool {
	return want != nil && y.state.good(want) && y.fetching == want.Slug && y.fetch.failed()
}

// How the names of files begin that are still being written: a slug, and a program of the seed's.
const (
	unfinishedSlug    = ".fetch"
	unfinishedProgram = ".seed"
)

// removeUnfinished removes what a seed that was killed was writing.
func (y *system) removeUnfinished() {
	for _, pattern := range []string{y.slugFile("") + "/" + unfinishedSlug, y.seed.cfg.file("system") + "/" + unfinishedProgram} {
		left, _ := filepath.Glob(pattern + "*")
		for _, path := range left {
			os.Remove(path)
		}
	}
}

// here reports whether there is a local file of a slug.
func (y *system) here(sum string) bool {
	_, err := os.Stat(y.slugFile(sum))
	return err == nil
}
