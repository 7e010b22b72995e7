package seed

import (
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/circles"
)

// ownNeeds are what the seed itself uses; it has no code that waits for any of it.
var ownNeeds = []hoist.Need{
	{On: hoist.NeedDatabase, For: "the current release, rows of its dynos", Without: "it starts from system.json"},
	{On: hoist.NeedBus, For: "bells, lines of its dynos", Without: "it looks every 3 s; lines go to its log"},
}

// releaseNeeds are what makes a release of the platform's own app.
var releaseNeeds = []hoist.Need{
	{On: hoist.ComponentGit, For: "takes its source"},
	{On: hoist.ComponentCompile, For: "builds its slug"},
	{On: hoist.ComponentRuntime, For: "runs its build"},
	{On: hoist.ComponentAPI, For: "makes it"},
	{On: hoist.NeedDatabase, For: "holds its row and its config"},
	{On: hoist.NeedBlobs, For: "holds its slug"},
}

// withoutRelease is how a component is there without the release that is its code.
const withoutRelease = "the seed starts the last good slug from a local file, or does its work itself (rescue)"

// Needs are the edges of what runs now: each process's own report of what it
// was given, and what the seed itself does for each.
func (s *Seed) needs() (edges []circles.Edge) {
	seen := map[circles.Edge]bool{}
	add := func(from string, needs ...hoist.Need) {
		for _, n := range needs {
			e := circles.Edge{From: from, To: clean(n.On), For: clean(n.For), Cut: clean(n.Without)}
			if !seen[e] {
				seen[e] = true
				edges = append(edges, e)
			}
		}
	}
	add(hoist.NeedSeed, ownNeeds...)
	for _, t := range s.ground {
		add(groundNames[t.name], hoist.Need{On: hoist.NeedSeed, For: "runs it"})
	}
	inDynos := map[string]bool{}
	if st := s.system.status(); st != nil && len(st.Dynos) > 0 {
		add(hoist.NeedRelease, releaseNeeds...)
		add(hoist.NeedSeed, hoist.Need{On: hoist.NeedBlobs, For: "slugs of a new release", Without: "it keeps the last good ones as files"})
		for _, d := range st.Dynos {
			inDynos[typeOf(d.Name)] = true
		}
	}
	for _, c := range hoist.Components {
		for _, r := range s.cfg.reports(c, time.Now()) {
			add(c, r.Needs...)
		}
		if inDynos[c] {
			add(c, hoist.Need{On: hoist.NeedRelease, For: "its code", Without: withoutRelease})
		}
		if s.system.inside(c) != nil {
			add(c, hoist.Need{On: hoist.NeedSeed, For: "starts it"})
		}
	}
	return edges
}

// groundNames are what the parts of the ground are called by those who need them.
var groundNames = map[string]string{"postgres": hoist.NeedDatabase, "nats": hoist.NeedBus, "blobs": hoist.NeedBlobs}

// Circles are the circles in what the running parts need of each other.
type Circles struct {
	Edges   []circles.Edge   `json:"edges"`
	Circles []circles.Circle `json:"circles"`
	Silent  []string         `json:"silent"` // components of which no process reports
}

func (s *Seed) circles() Circles {
	c := Circles{Edges: s.needs(), Silent: []string{}}
	c.Circles = circles.Find(c.Edges)
	for _, name := range hoist.Components {
		if len(s.cfg.reports(name, time.Now())) == 0 {
			c.Silent = append(c.Silent, name)
		}
	}
	return c
}
