package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

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
			fmt.Fprintf(c.out, "       %s stays as it is, and nothing is taken from %s: %s\n", work, source, strings.ReplaceAll(err.Error(), "\n", "\n       "))
		}
	case isRepository:
		_, err = c.exec("git", "clone", "-q", source, work)
	default:
		_, err = c.exec("sh", "-ec", `rm -rf "$1.new"; cp -a "$0" "$1.new"; cd "$1.new"; git init -q -b main; git add .
			git -c user.name=hoist -c user.email=hoist@localhost commit -q -m hoist; mv "$1.new" "$1"`, source, work)
	}
	if there {
		return nil
	}
	return err
}
