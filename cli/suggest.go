package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// nearest returns the name that was probably meant, or "". Of names as near as
// each other it is one of the first list.
func nearest(word string, lists ...[]string) string {
	best, distance := "", max(len(word)/3, 1)+1
	for _, names := range lists {
		for _, name := range slices.Sorted(slices.Values(names)) {
			if d := editDistance(strings.ToLower(word), strings.ToLower(name)); d < distance {
				best, distance = name, d
			}
		}
	}
	return best
}

// nearestOfTopic returns the command of cmd's topic that was probably meant by a
// word behind it, "ps:scale" by "ps scal", or "".
func nearestOfTopic(cmd *cobra.Command, word string) string {
	var words []string
	for _, other := range cmd.Parent().Commands() {
		if w, ok := strings.CutPrefix(other.Name(), cmd.Name()+":"); ok && !other.Hidden {
			words = append(words, w)
		}
	}
	near := nearest(word, words)
	if near == "" {
		return ""
	}
	return cmd.Name() + ":" + near
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours between two words (optimal string alignment).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := []int(nil), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(y)+1)
	}
	return last[len(y)]
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
