package seed

import (
	"slices"

	"github.com/hoist-sh/hoist"
)

// member is what planning must know of a dyno of one process type.
type member struct {
	id       hoist.ID
	number   int
	current  bool // of the wanted release, with the wanted command and environment
	done     bool // its task
	proven   bool // and was let in
	stopping bool
}

// planType compares what shall run of a process type with what does: the
// numbers of dynos to start, and the dynos to stop. Old ones stop when all the new
// ones have proven themselves, or if there are more than are wanted.
func planType(quantity int, members []member) (start []int, stop []hoist.ID) {
	there, proven := map[int]bool{}, 0
	for _, m := range members {
		switch {
		case m.stopping:
		case m.number > quantity || m.current && there[m.number]:
			stop = append(stop, m.id)
		case !m.current:
		default:
			there[m.number] = true
			if m.proven {
				proven++
			}
		}
	}
	for n := 1; n <= quantity; n++ {
		if !there[n] {
			start = append(start, n)
		}
	}
	if proven >= quantity {
		for _, m := range members {
			if !m.current && !m.stopping && m.number <= quantity {
				stop = append(stop, m.id)
			}
		}
	}
	slices.Sort(stop)
	return start, stop
}

// settled reports whether all dynos wanted of a type have proven themselves.
func settled(quantity int, members []member) bool {
	return quantity <= count(members, func(m member) bool { return m.current && m.proven && !m.stopping })
}

// ready reports whether all dynos wanted of a type have done their tasks.
func ready(quantity int, members []member) bool {
	return quantity <= count(members, func(m member) bool { return m.current && m.done && !m.stopping })
}

func count(members []member, is func(member) bool) (n int) {
	for _, m := range members {
		if is(m) {
			n++
		}
	}
	return n
}

func anyProven(members []member) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.proven && !m.stopping })
}
