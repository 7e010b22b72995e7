package hoist

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// PartialRune returns how many bytes at the end of p are the start of a UTF-8 character whose
// end is not there: who cuts a text cuts it before those.
func PartialRune(p []byte) int {
	for i := 1; i <= min(len(p), utf8.UTFMax-1); i++ {
		if b := p[len(p)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(p[len(p)-i:]) {
				return i
			}
			return 0
		}
	}
	return 0
}

// ShellQuote makes a text one word of a POSIX shell; it stays as it is if it is one.
func ShellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Seam is by how many bytes of the end of what was shown of an output Rest finds it.
const Seam = 4 << 10

// Rest returns what follows in output what was shown of it, and all of it if they have no line in common. Output
// may lack its start, as the end of it is what is kept; what was shown may have a start that output never had, as
// a build that is compiled again is shown from the first time on.
func Rest(shown, output string) string {
	if more, ok := strings.CutPrefix(output, shown); ok {
		return more
	}
	shown = shown[max(len(shown)-Seam, 0):]
	lines := []string{shown} // the last ones, fewer and fewer
	for i := range len(shown) - 1 {
		if shown[i] == '\n' {
			lines = append(lines, shown[i+1:])
		}
	}
	// Of lines that output has, it has also the last ones.
	i := sort.Search(len(lines), func(i int) bool { return strings.Contains(output, lines[i]) })
	if i == len(lines) || strings.TrimSpace(lines[i]) == "" {
		return output
	}
	_, more, _ := strings.Cut(output, lines[i])
	return more
}
