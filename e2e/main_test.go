package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// shared is the platform that the scripts use side by side.
var shared *platform

var (
	internet *outside
	// deps has node_modules/.bin/heroku; see script/test-deps.sh.
	deps = flag.String("deps", "../build/test-deps", "directory of the tests' own dependencies")
	keep = flag.Bool("keep", false, "leave the shared platform running")
)

type runner struct{ m *testing.M }

func (r runner) Run() int {
	code, err := func() (code int, err error) {
		dir, err := os.MkdirTemp("", "hoist-bin-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		os.Chmod(dir, 0o755)
		hoistBin = filepath.Join(dir, "hoist")
		// As script/build.sh does, and the Go buildpack: it can be compared with what the platform builds.
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", "heroku", "-o", hoistBin, "../cmd/hoist")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return 1, fmt.Errorf("go build: %w", err)
		}
		if internet, err = newOutside(); err != nil {
			return 1, err
		}
		defer internet.close()
		undoOnSignal()
		shared, err = newPlatform("HOIST_BOOT_TIMEOUT=15s", "HOIST_STOP_GRACE=10s")
		if shared != nil && !*keep {
			defer func() {
				if e := shared.close(); e != nil && err == nil {
					code, err = 1, e
				}
			}()
		}
		if err != nil {
			return 1, err
		}
		code = r.m.Run()
		report := shared.recorder.Report()
		fmt.Println(report)
		for _, wrong := range report.Wrong {
			fmt.Println(wrong)
			code = 1
		}
		if name := os.Getenv("HOIST_SCHEMA_REPORT"); name != "" {
			err = report.WriteFile(name)
		}
		return code, err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(runner{m}, map[string]func(){"pty": ptyMain, "wsecho": wsechoMain})
}

// Each script under testdata is a session of a person with the platform.
func TestScripts(t *testing.T) {
	bin, err := filepath.Abs(filepath.Join(*deps, "node_modules", ".bin"))
	if err != nil {
		t.Fatal(err)
	}
	examples, _ := filepath.Abs("../examples")
	probes, err := probes(shared, shared.HTTP, shared.SSH, 22, 5432)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Cmds:                scriptCommands,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			name := filepath.Base(env.WorkDir)
			env.Setenv("APP", randomName(strings.TrimPrefix(name, "script-")))
			for k, v := range shared.userEnv() {
				env.Setenv(k, v)
			}
			env.Setenv("EXAMPLES", examples)
			env.Setenv("OUTSIDE_URL", internet.URL)
			env.Setenv("PROBES", strings.Join(probes, " "))
			env.Setenv("PATH", filepath.Dir(hoistBin)+":"+bin+":"+env.Getenv("PATH"))
			return nil
		},
	})
}
