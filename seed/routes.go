package seed

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hoist-sh/hoist"
)

const (
	// routesFile is where a router keeps the routes that it knew last, to start from while the
	// database is away.
	routesFile  = "routes.json"
	routesLimit = 256 << 20
)

// routerDirs are where the router inside the seed has its own things, and where dynos of it have theirs.
func (s *Settings) routerDirs() (inside, dynos string) {
	return s.file(hoist.ComponentRouter), filepath.Join(s.file("system"), hoist.ComponentRouter)
}

// passRoutes gives a router that is about to start the routes that another one, of the other
// directory, knew later.
func passRoutes(from, to string) error {
	// Dynos have fewer rights than we, and could put anything there.
	in, err := os.OpenFile(filepath.Join(from, routesFile), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	there, err := in.Stat()
	if err != nil {
		return err
	}
	if !there.Mode().IsRegular() || there.Size() > routesLimit {
		return fmt.Errorf("%s is no file of routes", in.Name())
	}
	path := filepath.Join(to, routesFile)
	if own, err := os.Lstat(path); err == nil && !own.ModTime().Before(there.ModTime()) {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(in, routesLimit))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return writeFile(path, text, 0o600)
}
