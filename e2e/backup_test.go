package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/blob/blobtest"
)

// A platform is backed up while people work on it, is lost, and comes back on
// other ports, in another directory, as it was.
func TestAPlatformComesBackFromItsBackup(t *testing.T) {
	w := newFaultWorld(t, 2)
	calm, busy := w.apps[0], w.apps[1]
	t.Cleanup(func() {
		for _, a := range w.apps {
			if out, err := a.cli(context.Background(), "logs", "-n", "20").CombinedOutput(); t.Failed() {
				t.Logf("%s: %s %v", a.Name, out, err)
			}
		}
	})
	noise := make([]byte, 1<<20) // a backup of some size
	rand.Read(noise)
	if err := os.WriteFile(filepath.Join(calm.dir, "noise"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := calm.mustPush(); err != nil {
		t.Fatal(err)
	}
	if err := calm.mustSet(); err != nil {
		t.Fatal(err)
	}
	if err := busy.mustSet(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(w.Dir)
	file, key := filepath.Join(dir, "one.backup"), filepath.Join(dir, "key")
	s3 := startS3(t)

	before := busy.config
	stop := busy.work(t)
	for _, place := range []string{file, s3} {
		if out, err := w.hoist("backup", place, "--key-file", key, "--new-key"); err != nil || !strings.Contains(out, "Backed up 2 apps") {
			t.Fatal(out, err)
		}
	}
	stop()
	hostKey := w.read(t, "ssh_host_ed25519_key")
	ca := w.read(t, "ca.pem")

	w.refusals(t, file, key)
	w.killedRestore(t, file, key)
	w.fullDisks(t, file, key)
	if _, err := w.hoist("purge", "--yes"); err != nil {
		t.Fatal(err)
	}
	w.move(filepath.Join(dir, "elsewhere"))
	out, err := w.hoist("restore", s3, "--key-file", key)
	if err != nil || !strings.Contains(out, "Restored 2 apps") {
		t.Fatal(out, err)
	}
	if w.read(t, "ssh_host_ed25519_key") != hostKey || w.read(t, "ca.pem") != ca {
		t.Error("the host key or the CA is another one")
	}
	w.knowHost(t)

	busy.asOfBackup(t, before)
	w.invariants(t)
	for _, a := range w.apps {
		a.sameClone(t)
	}
	eachApp(t, w.apps, func(a *faultApp) error { return a.mustPush() })
	if err := calm.mustSet(); err != nil {
		t.Fatal(err)
	}
	w.invariants(t)
}

// work sets config and pushes, until the returned function is called. It returns when
// the push is being built.
func (a *faultApp) work(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	building, pushed, set := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(pushed)
		told := false
		out, err := a.push(a.sshURL(), func(out string) {
			if !told && strings.Contains(out, "Building source") {
				told = true
				close(building)
			}
		})
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}()
	go func() {
		defer close(set)
		for ctx.Err() == nil {
			if err := a.set(); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-building:
	case <-pushed:
	}
	return func() { cancel(); <-set; <-pushed }
}

// asOfBackup forgets what the backup does not have of the work that went on meanwhile; before
// is the last change of config that was acknowledged before it.
func (a *faultApp) asOfBackup(t *testing.T, before int) {
	t.Helper()
	var vars map[string]string
	if err := a.w.call("GET", "/apps/"+a.Name+"/config-vars", a.w.Token, nil, &vars); err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(vars["N"])
	if n < before || n > a.changes {
		t.Errorf("N is %d; acknowledged before the backup was %d, and %d was the last", n, before, a.changes)
	}
	a.config, a.changes = n, n
	a.onlyFirst(t)
}

// onlyFirst forgets the push that was under way, unless the backup has it.
func (a *faultApp) onlyFirst(t *testing.T) {
	t.Helper()
	var heads []struct{ Head string }
	if err := a.w.query(&heads, `SELECT refs->>'refs/heads/main' AS head FROM repos JOIN apps a ON a.id = app_id WHERE a.name = $1`, a.Name); err != nil {
		t.Fatal(err)
	}
	i := slices.Index(a.commits, heads[0].Head)
	if i < 0 {
		t.Fatalf("head is %v, pushed were %v", heads, a.commits)
	}
	a.commits, a.version = a.commits[:i+1], i+1
	if i == 0 {
		var failed []struct{ Error string }
		err := a.w.query(&failed, `SELECT error FROM builds b JOIN apps a ON a.id = b.app_id WHERE a.name = $1 AND state = 'failed'`, a.Name)
		if err != nil || len(failed) != 1 || !strings.Contains(failed[0].Error, "restored from a backup") {
			t.Errorf("the build under way: %v, %v", failed, err)
		}
	}
}

// sameClone checks that a clone has the commits that were acknowledged.
func (a *faultApp) sameClone(t *testing.T) {
	t.Helper()
	if out, err := a.git(nil, "clone", "-q", a.sshURL(), filepath.Join(t.TempDir(), "clone")); err != nil {
		t.Fatal(out, err)
	}
	dir := filepath.Join(t.TempDir(), "bare.git")
	if out, err := a.git(nil, "clone", "-q", "--bare", a.sshURL(), dir); err != nil {
		t.Fatal(out, err)
	}
	out, err := a.git(nil, "-C", dir, "log", "--reverse", "--format=%H", "main")
	if got := strings.Fields(out); err != nil || !slices.Equal(got, a.commits) {
		t.Errorf("%s: a clone has %v, pushed were %v (%v)", a.Name, got, a.commits, err)
	}
}

// refusals restores what cannot be restored; nothing must be changed.
func (w *faultWorld) refusals(t *testing.T, file, key string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flipped := bytes.Clone(text)
	flipped[len(flipped)-1000] ^= 4
	for _, c := range []struct{ file, key, data, want string }{
		{file, write("other", []byte("another passphrase")), "new", "key does not open"},
		{write("cut", text[:len(text)*2/3]), key, "new", "damaged or cut off"},
		{write("flipped", flipped), key, "new", "damaged or cut off"},
		{key, key, "new", "no backup of hoist"},
		{file, key, filepath.Base(w.Dir), "is not empty"},
	} {
		out, err := w.hoist("restore", c.file, "--key-file", c.key, "--data", filepath.Join(dir, c.data))
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("want %q: %s", c.want, out)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "new*")); len(found) > 0 {
		t.Errorf("a refused restore left %v", found)
	}
	if out, err := w.hoist("restore", file, "--key-file", key, "--check"); err != nil || !strings.Contains(out, "is whole") {
		t.Error(out, err)
	}
}

// killedRestore kills a restore half-way; the next one does not mind.
func (w *faultWorld) killedRestore(t *testing.T, file, key string) {
	t.Helper()
	data := filepath.Join(filepath.Dir(file), "killed")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(hoistBin, "restore", "-", "--key-file", key, "--data", data, "--no-start")
	cmd.Env = w.seedEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go in.Write(text[:len(text)-100])
	err = eventually(30*time.Second, func() error {
		_, err := os.Stat(filepath.Join(data+".restoring", "postgres", "data", "postmaster.pid"))
		return err
	})
	cmd.Process.Kill()
	cmd.Wait()
	if _, e := os.Stat(data); err != nil || !os.IsNotExist(e) {
		t.Fatal(err, e)
	}
	if out, err := w.hoist("restore", file, "--key-file", key, "--data", data, "--no-start"); err != nil {
		t.Fatal(out, err)
	}
	if out, err := w.hoist("purge", "--yes", "--data", data); err != nil {
		t.Fatal(out, err)
	}
	if found, _ := filepath.Glob(data + "*"); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}

// fullDisks backs up and restores to where there is not enough room.
func (w *faultWorld) fullDisks(t *testing.T, file, key string) {
	t.Helper()
	disk := t.TempDir()
	os.Chmod(disk, 0o755) // Postgres passes through it
	os.Chmod(filepath.Dir(disk), 0o755)
	for _, c := range []struct {
		size, want string
		args       []string
	}{
		// Less than the noise in one of the apps, and less than an empty database.
		{"512k", `No backup was made: .*no space left on device`, []string{"backup", filepath.Join(disk, "backup")}},
		{"20m", `(?s)Nothing was restored. .*disk space`, []string{"restore", file, "--data", filepath.Join(disk, "data"), "--no-start"}},
	} {
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "mode=755,size="+c.size); err != nil {
			t.Fatal(err)
		}
		out, err := w.hoist(append(c.args, "--key-file", key)...)
		if err == nil || !regexp.MustCompile(c.want).MatchString(out) {
			t.Errorf("want %q: %v %s", c.want, err, out)
		}
		if found, _ := filepath.Glob(filepath.Join(disk, "*")); len(found) > 0 {
			t.Errorf("%s left %v", c.args[0], found)
		}
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
			syscall.Unmount(disk, syscall.MNT_DETACH)
		}
	}
}

// move makes it a platform that does not exist yet, with the same people.
func (w *faultWorld) move(dir string) {
	w.Dir, w.HTTP, w.HTTPS, w.SSH, w.Run, w.network = dir, freePort(), freePort(), freePort(), freePort(), freeNetwork()
}

// knowHost makes ssh take no other host key than the platform had before.
func (w *faultWorld) knowHost(t *testing.T) {
	t.Helper()
	line := fmt.Sprintf("[localhost]:%d %s", w.SSH, w.read(t, "ssh_host_ed25519_key.pub"))
	if err := os.WriteFile(filepath.Join(w.Home, ".ssh", "known_hosts"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *faultWorld) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startS3 starts an S3 server, sets the environment for it, and returns a place in it.
func startS3(t *testing.T) string {
	t.Helper()
	bin := blobtest.Tool(t, "versitygw")
	addr := fmt.Sprintf("127.0.0.1:%d", freePort())
	cmd := blobtest.Versity(bin, addr, t.TempDir())
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	blobtest.MakeBucket(t, addr, "backups")
	t.Setenv("AWS_ACCESS_KEY_ID", blobtest.S3Key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", blobtest.S3Secret)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+addr)
	return "s3://backups/hoist/one"
}
