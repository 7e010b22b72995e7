package main

import (
	"fmt"
	"os"
	"path/filepath"
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
			fmt.Fprintf(c.out, "       %s has commits of its own; they stay, and nothing is taken from %s\n", work, source)
		}
	case isRepository:
		_, err = c.exec("git", "clone", "-q", source, work)
	default:
		if _, err = c.exec("cp", "-a", source, work); err == nil {
			_, err = c.exec("sh", "-c", `cd "$0" && git init -q -b main && git add . && git -c user.name=hoist -c user.email=hoist@localhost commit -q -m "hoist"`, work)
		}
	}
	if there {
		return nil
	}
	return err
}
