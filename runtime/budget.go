package runtime

import "github.com/hoist-sh/hoist"

// budget is the memory that workers may still give to dynos. Workers on one machine share
// its memory: each says how much all of them may give.
type budget struct {
	workers map[hoist.ID]hoist.Worker
	hosts   map[string]int64   // bytes left; of the hosts on which there is a worker that takes dynos
	used    map[hoist.ID]int64 // bytes, by worker
}

func newBudget(workers []hoist.Worker) *budget {
	m := &budget{map[hoist.ID]hoist.Worker{}, map[string]int64{}, map[hoist.ID]int64{}}
	for _, w := range workers {
		if w.Host == "" {
			w.Host = w.ID
		}
		m.workers[w.ID] = w
		if !w.Draining && !w.Probation {
			m.hosts[w.Host] = max(m.hosts[w.Host], w.Memory)
		}
	}
	return m
}

// put counts a dyno of a worker. Those of the formation on a worker that is
// leaving do not count, for their replacements do: else nothing could move on
// a machine that is more than half full.
func (m *budget) put(worker hoist.ID, d hoist.Dyno) {
	w, ok := m.workers[worker]
	if !ok || w.Draining && d.Kind == hoist.KindFormation {
		return
	}
	m.used[worker] += sizeOf(d).Memory
	if _, ok := m.hosts[w.Host]; ok {
		m.hosts[w.Host] -= sizeOf(d).Memory
	}
}

// takes reports whether the worker takes dynos and has room for this one.
func (m *budget) takes(worker hoist.ID, d hoist.Dyno) bool {
	w := m.workers[worker]
	free := m.free(worker)
	return !w.Draining && !w.Probation && min(free.host, free.worker) >= sizeOf(d).Memory
}

// free is what is left on the worker's host, and of what the worker itself may
// give.
func (m *budget) free(worker hoist.ID) (free struct{ host, worker int64 }) {
	w := m.workers[worker]
	free.host, free.worker = m.hosts[w.Host], w.Memory-m.used[worker]
	return free
}
