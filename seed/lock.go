package seed

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Names of the locks in a data directory.
const (
	seedLock   = "seed.lock"
	keeperLock = "keeper.lock"
)

// lock makes this process the only seed of a data directory.
func lock(s Settings) (*os.File, error) { return s.take(seedLock) }

// take takes a lock of the data directory, which ends with the process, however that ends.
func (s *Settings) take(name string) (*os.File, error) {
	f, err := os.OpenFile(s.file(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if pid := changing(f); pid != 0 && pid != os.Getpid() {
		defer f.Close()
		return nil, &RunningError{Dir: s.DataDir, Holder: fmt.Sprintf("process %d", pid)}
	}
	for range 5 { // who looks whether it is taken has it for a moment
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		holder, _ := os.ReadFile(f.Name())
		return nil, &RunningError{Dir: s.DataDir, Holder: strings.TrimSpace(string(holder))}
	}
	holder := fmt.Sprintf("process %d, since %s", os.Getpid(), time.Now().Format(time.DateTime))
	if err := errors.Join(f.Truncate(0), writeAt(f, holder)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text+"\n"), 0)
	return err
}

// changed follows what a lock says of its holder while that goes on as another program, which takes the lock again:
// execve(2) lets it go.
const changed = ", goes on as another program"

// changeLimit is how long that may take.
const changeLimit = time.Minute

// handOver notes that the holder of a lock goes on as another program in the same process.
func handOver(f *os.File) error {
	return writeAt(f, fmt.Sprintf("process %d%s", os.Getpid(), changed))
}

// changing is the process that holds a lock though it has let it go for a moment; 0 if there is none.
func changing(f *os.File) (pid int) {
	text := make([]byte, 100)
	n, _ := f.ReadAt(text, 0)
	first, _, _ := strings.Cut(string(text[:n]), "\n")
	if _, err := fmt.Sscanf(first, "process %d"+changed, &pid); err != nil || !strings.HasSuffix(first, changed) {
		return 0
	}
	st, err := f.Stat()
	if err != nil || time.Since(st.ModTime()).Abs() > changeLimit || syscall.Kill(pid, 0) == syscall.ESRCH {
		return 0
	}
	return pid
}

// holder is the process that has taken a lock, or had; 0 if it does not say yet.
func (s *Settings) holder(name string) (pid int) {
	text, _ := os.ReadFile(s.file(name))
	fmt.Sscanf(string(text), "process %d,", &pid)
	return pid
}

// Running reports whether a seed runs on the data directory.
func Running(s Settings) bool { return s.taken(seedLock) }

// Kept reports whether a keeper will start a seed again on the data directory.
func Kept(s Settings) bool { return s.taken(keeperLock) }

func (s *Settings) taken(name string) bool {
	f, err := os.Open(s.file(name))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil || changing(f) != 0
}

// RunningError says that there is a seed already.
type RunningError struct{ Dir, Holder string }

func (e *RunningError) Error() string {
	return fmt.Sprintf("A seed runs already in %s (%s). `hoist seed status` shows it, `hoist seed stop` ends it.", e.Dir, e.Holder)
}
