package seed

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
)

// reportLimit bounds what is read of a report; reportsLimit how many there may be of a
// component. Who writes them has fewer rights than we.
const (
	reportLimit  = 64 << 10
	reportsLimit = 64
)

// reports are what the running processes of a component say of themselves, the
// youngest first. Which component it is, is told by the directory and not by the process.
func (s *Settings) reports(component string, now time.Time) (list []hoist.Report) {
	dirs := []string{s.file(component), filepath.Join(s.file("system"), component)}
	if component == hoist.ComponentRuntime {
		for slot := 1; slot < workers; slot++ {
			dirs = append(dirs, s.workerDir(slot))
		}
	}
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(dir, hoist.ReportPattern))
		for _, path := range files[:min(len(files), reportsLimit)] {
			r, age, err := readReport(path, now)
			switch {
			case age > time.Hour:
				os.Remove(path)
			case err == nil && age.Abs() < hoist.ReportExpiry:
				list = append(list, r)
			}
		}
	}
	slices.SortFunc(list, func(a, b hoist.Report) int { return b.Since.Compare(a.Since) })
	return list
}

func readReport(path string, now time.Time) (r hoist.Report, age time.Duration, err error) {
	// A component could put anything there, such as a pipe that blocks us.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return r, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return r, 0, err
	}
	age = now.Sub(st.ModTime())
	if !st.Mode().IsRegular() {
		return r, age, &fs.PathError{Op: "read", Path: path, Err: syscall.EINVAL}
	}
	text, err := io.ReadAll(io.LimitReader(f, reportLimit))
	if err != nil {
		return r, age, err
	}
	return r, age, json.Unmarshal(text, &r)
}

// lacks adds what a running component says that it lacks.
func (t *TaskStatus) lacks(reports []hoist.Report) {
	if len(reports) == 0 {
		if t.State == stateUp && time.Since(t.Since) < hoist.ReportInterval { // what the registry says is of one before
			t.State, t.WaitsFor = stateWaiting, "the ground"
		}
		return
	}
	r := reports[0]
	if r.WaitsFor != "" && t.State == stateUp {
		t.State, t.WaitsFor = stateWaiting, clean(r.WaitsFor)
	}
	var list []string
	for _, n := range r.Needs {
		if n.Missing != "" && n.Without != "" {
			list = append(list, fmt.Sprintf("the %s (%s): %s", clean(n.On), clean(n.Missing), clean(n.Without)))
		}
	}
	t.Without = strings.Join(list, "; ")
}

// clean makes text of a component fit for a terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text[:min(len(text), 500)])
}
