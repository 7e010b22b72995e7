package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// Each push starts this program several times: as git's hook, as the client and
// as the compiler. What a package does before main, all of them wait for.
func TestNoPackageWorksBeforeMain(t *testing.T) {
	const most = 2 << 20 // bytes: what is allocated tells on a busy machine, too
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1") // pkg.go.dev/runtime, "Environment Variables"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	inits := regexp.MustCompile(`init (\S+) @.* (\d+) bytes`).FindAllSubmatch(out, -1)
	if len(inits) < 10 {
		t.Fatalf("no trace: %s", out)
	}
	for _, init := range inits {
		if n, _ := strconv.Atoi(string(init[2])); n > most {
			t.Errorf("package %s allocates %d bytes when it is initialised", init[1], n)
		}
	}
}
