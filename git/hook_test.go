package git

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestAnEndlessListOfUpdatesIsRefused(t *testing.T) {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	fd, err := syscall.Dup(int(theirs.Fd())) // the hook closes it
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(hookEnv, strconv.Itoa(fd))
	var said strings.Builder
	updates := strings.NewReader(strings.Repeat("x", updatesLimit+100))
	if code := Hook(updates, &said); code != 1 || !strings.Contains(said.String(), "too many branches") {
		t.Error(code, said.String())
	}
}
