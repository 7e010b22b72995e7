package blob

import "github.com/hoist-sh/hoist"

// Users returns the users of a file store, one for each component that needs
// blobs, with the prefixes it works on.
func Users(secrets map[string]string) map[string]User {
	all := []string{"slugs/", "sources/", "builds/", "caches/", "repos/"}
	users := map[string]User{
		hoist.ComponentAPI:     {Read: all, Write: all}, // it collects what nothing refers to
		hoist.ComponentGit:     {Read: []string{"repos/", "builds/", "git/"}, Write: []string{"repos/", "builds/", "git/"}},
		hoist.ComponentCompile: {Read: []string{"sources/", "builds/", "slugs/", "caches/"}, Write: []string{"builds/", "slugs/", "caches/"}},
		hoist.ComponentRuntime: {Read: []string{"slugs/"}},
	}
	for name, u := range users {
		u.Secret = secrets[name]
		users[name] = u
	}
	return users
}
