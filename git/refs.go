package git

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
)

// refLimit is how many refs a repository may have; all of them are one value
// in the database.
const refLimit = 5000

// Branches that deploy, as Heroku's do
// (https://devcenter.heroku.com/articles/git#deploy-your-code).
const (
	refMain   = "refs/heads/main"
	refMaster = "refs/heads/master"
)

func deploys(ref string) bool { return ref == refMain || ref == refMaster }

// short is how people call a ref.
func short(ref string) string {
	for _, p := range []string{"refs/heads/", "refs/tags/"} {
		if s, ok := strings.CutPrefix(ref, p); ok {
			return s
		}
	}
	return ref
}

// validRef reports whether git would take name for a ref below refs/, by the
// rules of git-check-ref-format(1).
func validRef(name string) bool {
	rest, ok := strings.CutPrefix(name, "refs/")
	if !ok || !strings.Contains(rest, "/") || len(name) > 255 || !utf8.ValidString(name) {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`~^:?*[\`, c) >= 0 {
			return false
		}
	}
	if strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// checkUpdates reports, for the person who pushes, why the updates cannot be
// made to refs. Whatever git itself would refuse after its pre-receive hook
// must be refused here: then it is too late, the database has moved.
func checkUpdates(refs map[string]string, updates []hoist.RefUpdate) error {
	after := maps.Clone(refs)
	if after == nil {
		after = make(map[string]string)
	}
	seen := make(map[string]bool)
	for _, u := range updates {
		now := refs[u.Name]
		if now == "" {
			now = hoist.ZeroObject
		}
		switch {
		case !validRef(u.Name):
			return refuse("%q is not a name for a branch or tag.", u.Name)
		case seen[u.Name]:
			return refuse("%s is pushed twice.", short(u.Name))
		case now != u.Old:
			return refuse("%s was moved by another push meanwhile. Run git fetch, then push again.", short(u.Name))
		}
		seen[u.Name] = true
		if u.Deletes() {
			delete(after, u.Name)
		} else {
			after[u.Name] = u.New
		}
	}
	for _, u := range updates {
		if u.Deletes() && deploys(u.Name) && after[refMain] == "" && after[refMaster] == "" {
			return refuse("%s cannot be deleted: it is what the app runs. Push another commit to it instead.", short(u.Name))
		}
	}
	if len(after) > refLimit {
		return refuse("A repository can have %d branches and tags at most.", refLimit)
	}
	// "a" and "a/b" cannot both be: git keeps refs as files.
	for name := range after {
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if _, ok := after[name[:i]]; ok {
				return refuse("%s and %s cannot both exist.", short(name[:i]), short(name))
			}
		}
	}
	return nil
}

// deployOf returns which of the updates deploys, if any. Both main and master
// may be pushed at once if they are the same commit.
func deployOf(updates []hoist.RefUpdate) (*hoist.RefUpdate, error) {
	var deploy *hoist.RefUpdate
	for i, u := range updates {
		if !deploys(u.Name) || u.Deletes() {
			continue
		}
		if deploy != nil && deploy.New != u.New {
			return nil, refuse("main and master are different commits and both deploy. Push one of them.")
		}
		if deploy == nil {
			deploy = &updates[i]
		}
	}
	return deploy, nil
}

// headOf is what HEAD points to: the branch in the database or, if that was
// never pushed, the other one that deploys.
func headOf(repo hoist.Repo) string {
	for _, ref := range []string{repo.Head, refMain, refMaster} {
		if repo.Refs[ref] != "" {
			return ref
		}
	}
	return repo.Head
}

// packedRefs is the content of git's packed-refs file for refs.
func packedRefs(refs map[string]string) []byte {
	var b strings.Builder
	b.WriteString("# pack-refs with: sorted \n")
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		fmt.Fprintf(&b, "%s %s\n", refs[name], name)
	}
	return []byte(b.String())
}
