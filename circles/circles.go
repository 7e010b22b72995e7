// Package circles finds the circles in what parts of a system need of each
// other, and where each is cut.
package circles

import (
	"cmp"
	"slices"
)

// Edge says that From needs To. If Cut is not empty, From starts and serves
// without To, as Cut says.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	For  string `json:"for,omitempty"`
	Cut  string `json:"cut,omitempty"`
}

// Circle is a way from a part back to itself. The first edge is where it is cut;
// it is not cut at all if that has no Cut.
type Circle []Edge

// Cut reports whether the circle is cut.
func (c Circle) Cut() bool { return c[0].Cut != "" }

// Find returns the circles of a graph: first those that nothing cuts, one for
// each strongly connected component of the edges without a cut; then, for each
// edge that cuts a circle, the shortest circle through it, with as few other
// cuts as possible. Every circle of the graph is either
// among the former or has one of the edges of the latter in it.
func Find(edges []Edge) (found []Circle) {
	edges = slices.Clone(edges)
	slices.SortStableFunc(edges, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	var hard []Edge
	for _, e := range edges {
		if e.Cut == "" {
			hard = append(hard, e)
		}
	}
	part := components(hard)
	seen := map[int]bool{}
	for _, e := range hard {
		if id := part[e.From]; id == part[e.To] && !seen[id] {
			seen[id] = true
			found = append(found, close(e, hard))
		}
	}
	part = components(edges)
	for _, e := range edges {
		if e.Cut != "" && part[e.From] == part[e.To] {
			found = append(found, close(e, edges))
		}
	}
	return found
}

// close makes a circle of an edge by the best way back from its end.
func close(e Edge, edges []Edge) Circle {
	return append(Circle{e}, way(e.To, e.From, edges)...)
}

// way is the way from one part to another with the fewest cuts, and of those
// the shortest. There is one.
func way(from, to string, edges []Edge) []Edge {
	type cost struct{ cuts, length int }
	best := map[string]cost{from: {}}
	by := map[string]Edge{}
	for changed := true; changed; { // Bellman-Ford; the graph is small
		changed = false
		for _, e := range edges {
			c, ok := best[e.From]
			if !ok {
				continue
			}
			c.length++
			if e.Cut != "" {
				c.cuts++
			}
			old, ok := best[e.To]
			if !ok || cmp.Or(cmp.Compare(c.cuts, old.cuts), cmp.Compare(c.length, old.length)) < 0 {
				best[e.To], by[e.To], changed = c, e, true
			}
		}
	}
	var list []Edge
	for at := to; at != from; at = by[at].From {
		list = append(list, by[at])
	}
	slices.Reverse(list)
	return list
}

// components numbers the strongly connected components of a graph (Tarjan,
// "Depth-first search and linear graph algorithms", 1972). An edge lies on a
// circle if both ends have the same number.
func components(edges []Edge) map[string]int {
	next := map[string][]string{}
	var nodes []string
	for _, e := range edges {
		nodes = append(nodes, e.From, e.To)
		next[e.From] = append(next[e.From], e.To)
	}
	t := tarjan{next: next, index: map[string]int{}, low: map[string]int{}, part: map[string]int{}}
	for _, n := range nodes {
		if t.index[n] == 0 {
			t.visit(n)
		}
	}
	return t.part
}

type tarjan struct {
	next       map[string][]string
	index, low map[string]int // from 1
	part       map[string]int // of those done with, from 1
	stack      []string
	parts      int
}

func (t *tarjan) visit(n string) {
	t.index[n] = len(t.index) + 1
	t.low[n] = t.index[n]
	t.stack = append(t.stack, n)
	for _, to := range t.next[n] {
		if t.index[to] == 0 {
			t.visit(to)
			t.low[n] = min(t.low[n], t.low[to])
		} else if t.part[to] == 0 {
			t.low[n] = min(t.low[n], t.index[to])
		}
	}
	if t.low[n] != t.index[n] {
		return
	}
	t.parts++
	for {
		last := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		t.part[last] = t.parts
		if last == n {
			return
		}
	}
}
