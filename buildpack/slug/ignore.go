package slug

import (
	"path"
	"strings"
)

// Ignore is a .slugignore: patterns of files that the app does not need
// (https://devcenter.heroku.com/articles/slug-compiler#ignoring-files-with-slugignore).
// A pattern with a slash before its end is anchored at the app's root, another
// one matches at any depth; one that ends with a slash matches directories;
// ** stands for any directories. Negation (!) is not part of the format.
type Ignore struct {
	patterns []ignorePattern
	// Unsupported holds the lines that were not understood.
	Unsupported []string
}

type ignorePattern struct {
	parts   []string
	dirOnly bool
}

// ParseIgnore reads a .slugignore. It accepts anything.
func ParseIgnore(text string) *Ignore {
	ig := &Ignore{}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if _, err := path.Match(line, ""); err != nil || line[0] == '!' {
			ig.Unsupported = append(ig.Unsupported, line)
			continue
		}
		p := ignorePattern{dirOnly: strings.HasSuffix(line, "/")}
		anchored := strings.Contains(strings.TrimRight(line, "/"), "/")
		line = strings.Trim(line, "/")
		if line == "" {
			continue
		}
		p.parts = strings.Split(line, "/")
		if !anchored {
			p.parts = append([]string{"**"}, p.parts...)
		}
		ig.patterns = append(ig.patterns, p)
	}
	return ig
}

// Match reports whether name, a slash-separated path from the app's root, is
// left out.
func (ig *Ignore) Match(name string, dir bool) bool {
	parts := strings.Split(name, "/")
	for _, p := range ig.patterns {
		if (dir || !p.dirOnly) && match(p.parts, parts) {
			return true
		}
	}
	return false
}

// match keeps only the last ** to come back to, so it takes
// len(pattern) × len(name) steps at most.
func match(pattern, name []string) bool {
	star, back := -1, 0
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) {
			if pattern[p] == "**" {
				star, back = p, n
				p++
				continue
			}
			if ok, _ := path.Match(pattern[p], name[n]); ok {
				p++
				n++
				continue
			}
		}
		if star < 0 {
			return false
		}
		back++
		p, n = star+1, back
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}
