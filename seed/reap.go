package seed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reapOrphans waits for children of that name which we did not start: as the
// engine makes us subreaper (prctl(2)), the children of a killed Postgres
// become ours, end soon, and would stay zombies.
func reapOrphans(name string) {
	for range 20 {
		alive := 0
		for _, pid := range children(name) {
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && got == 0 {
				alive++
			}
		}
		if alive == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func children(name string) []int {
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	prefix := fmt.Sprintf("(%s) ", name)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// "PID (NAME) STATE PPID …", see proc(5).
		pid, rest, _ := strings.Cut(string(text), " ")
		fields, ok := strings.CutPrefix(rest, prefix)
		if f := strings.Fields(fields); ok && len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			if n, err := strconv.Atoi(pid); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
