package circles

import (
	"fmt"
	"strings"
	"testing"
)

// graph reads "a>b" for a need and "a~b" for one that is cut.
func graph(text string) (edges []Edge) {
	for _, word := range strings.Fields(text) {
		if from, to, ok := strings.Cut(word, ">"); ok {
			edges = append(edges, Edge{From: from, To: to})
		} else {
			from, to, _ := strings.Cut(word, "~")
			edges = append(edges, Edge{From: from, To: to, Cut: "cached"})
		}
	}
	return edges
}

func show(c Circle) string {
	words := []string{c[0].From}
	for _, e := range c {
		mark := ">"
		if e.Cut != "" {
			mark = "~"
		}
		words = append(words, mark, e.To)
	}
	return strings.Join(words, "")
}

func TestCirclesAndTheirCuts(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "[]",
		"a>b b>c a>c":             "[]",
		"a~b b>c":                 "[]", // soft, but on no circle
		"a>a":                     "[a>a]",
		"a>b b>a":                 "[a>b>a]",
		"a>b b~a":                 "[b~a>b]",
		"a~b b~a":                 "[a~b~a b~a~b]",
		"a>b b>c c>a c~a":         "[a>b>c>a c~a>b>c]",
		"a>b b>c c~a b~a":         "[b~a>b c~a>b>c]",
		"a~b b>c c>d d>a b~d":     "[a~b>c>d>a b~d>a~b]",
		"a>b b>a c>d d>c a>c":     "[a>b>a c>d>c]",
		"x>a a>b b>c c>a b~x c>y": "[a>b>c>a b~x>a>b]",
		"seed~db db>seed api>db api>seed seed~api": "[seed~api>seed seed~db>seed]",
	} {
		got := []string{}
		for _, c := range Find(graph(text)) {
			got = append(got, show(c))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}

// Without the edges at which circles are said to be cut, there is none left.
func TestEveryCircleIsFound(t *testing.T) {
	edges := graph("a>b b>c c~a c>d d~b d>e e~e e>f f~a")
	var cut []Edge
	for _, c := range Find(edges) {
		if !c.Cut() {
			t.Errorf("%s is not cut", show(c))
		}
		cut = append(cut, c[0])
	}
	var rest []Edge
	for _, e := range edges {
		there := false
		for _, c := range cut {
			there = there || c == e
		}
		if !there {
			rest = append(rest, e)
		}
	}
	if left := Find(rest); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
