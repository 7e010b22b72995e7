package git

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestAFullDiskIsCalledOne(t *testing.T) {
	for _, err := range []error{
		&os.PathError{Op: "write", Path: "pack", Err: syscall.ENOSPC},
		fmt.Errorf("put blob: %w", &hoist.Error{ID: "insufficient_storage", Message: "full", Status: 507}),
	} {
		if got := forPeople(err); !strings.Contains(got, "disk is full") {
			t.Error(err, got)
		}
	}
}
