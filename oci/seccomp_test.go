package oci_test

import (
	"fmt"
	"testing"

	"github.com/hoist-sh/hoist/oci"
	"golang.org/x/sys/unix"
)

// A socket's family is what the kernel takes for it, whatever stands in the upper half of the
// register: some filters are passed by that.
func TestSocketsAreOfAFewFamilies(t *testing.T) {
	script := fmt.Sprintf(`exec perl -e '
		for (1, 2, 10, 16, 40, 0x100000028, 0x8000000000000028, 38, 17) {
			my $type = $_ == 38 ? 5 : $_ == 16 || $_ == 17 ? 3 : 1;
			my $got = syscall(%d, $_, $type, 0);
			print "$_ ", $got >= 0 ? "yes" : "no", "\n";
		}'`, unix.SYS_SOCKET)
	want := "1 yes\n2 yes\n10 yes\n16 yes\n40 no\n4294967336 no\n9223372036854775848 no\n38 no\n17 no\n"
	for _, runtime := range []string{"crun", "runc"} {
		e := newEngine(t, func(c *oci.Config) { c.Runtime, c.Name = runtime, c.Name+"-"+runtime })
		for range 2 { // the second time by the compiled filter
			if out, _ := run(t, e, spec(script)); out != want {
				t.Errorf("%s: got %q, want %q", runtime, out, want)
			}
		}
	}
}
