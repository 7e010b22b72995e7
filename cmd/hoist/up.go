package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

func init() { commands = append(commands, (&upCommand{}).command()) }

// upCommand is the second half of `make up`: from an installed program to an
// app that answers. Each step looks whether it is done already, so that running
// it again repairs what is missing.
type upCommand struct {
	seedFlags
	example string // directory of the sample app
	app     string
	ctx     context.Context
	out     io.Writer
	self    string
	person  person
	public  hoist.Public
	local   string // where the machine itself reaches its public ports
	dataDir string
	http    *http.Client
}

func (c *upCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "up", Short: "Start the platform, log in, and push a sample app", GroupID: "platform",
		Args: cobra.NoArgs, RunE: c.run,
	}
	c.add(cmd, false)
	cmd.Flags().StringVar(&c.example, "example", "", "`DIR` of the sample app")
	cmd.Flags().StringVar(&c.app, "app", "hello", "name of the sample app")
	return cmd
}

func (c *upCommand) run(cmd *cobra.Command, _ []string) (err error) {
	c.ctx, c.out = cmd.Context(), cmd.OutOrStdout()
	settings, err := c.wanted()
	if err != nil {
		return err
	}
	c.dataDir = settings.DataDir
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	if c.person, err = somebody(os.Getenv); err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func() (string, error)
	}{
		{"Starting the platform", c.start},
		{"Making the first account and logging in", c.account},
		{"Adding an SSH key", c.key},
		{"Making the app " + c.app, c.create},
		{"Pushing it", c.push},
		{"Asking it", c.request},
	}
	if c.example == "" {
		steps = steps[:3]
	}
	for _, s := range steps {
		begun := time.Now()
		fmt.Fprintf(c.out, "-----> %s\n", s.what)
		said, err := s.do()
		if err != nil {
			return fmt.Errorf("%s: %w\nRun it again when that is mended; what is done stays done.", s.what, err)
		}
		fmt.Fprintf(c.out, "       %s (%.1fs)\n", said, time.Since(begun).Seconds())
	}
	c.screen()
	return nil
}

// hoist runs this program as a person would.
func (c *upCommand) hoist(args ...string) (string, error) { return c.exec(c.self, args...) }

// exec runs a program as the person.
func (c *upCommand) exec(name string, args ...string) (string, error) {
	return output(c.personCommand(name, args...))
}

// personCommand is a program that runs as the person.
func (c *upCommand) personCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.ctx, name, args...)
	c.person.runs(cmd)
	return cmd
}

// asRoot runs this program as root.
func (c *upCommand) asRoot(args ...string) (string, error) { return output(c.rootCommand(args...)) }

// rootCommand is this program as root, with our settings.
func (c *upCommand) rootCommand(args ...string) *exec.Cmd {
	if os.Geteuid() == 0 {
		return exec.CommandContext(c.ctx, c.self, args...)
	}
	var keep []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); seed.IsSetting(name) {
			keep = append(keep, name)
		}
	}
	return exec.CommandContext(c.ctx, "sudo", append([]string{"--preserve-env=" + strings.Join(keep, ","), c.self}, args...)...)
}

// reading gives a program a line to read.
func reading(line string, cmd *exec.Cmd) *exec.Cmd {
	cmd.Stdin = strings.NewReader(line + "\n")
	return cmd
}

// output runs a program. Its error is what it says.
func output(cmd *exec.Cmd) (string, error) {
	var out, errs bytes.Buffer
	if cmd.Stdin == nil {
		cmd.Stdin = os.Stdin
	}
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), wordsOf(errs.String(), err)
	}
	return strings.TrimSpace(out.String()), nil
}

// wordsOf is the error of a program that wrote something to stderr, without the mark of ours.
func wordsOf(stderr string, err error) error {
	if said := strings.TrimSpace(strings.ReplaceAll(stderr, " !    ", "")); said != "" {
		return errors.New(said)
	}
	return err
}

// showing runs a command of ours, and shows the progress that it writes to stderr, indented as ours is; what it waits for
// only if that takes a while.
func showing(out io.Writer, cmd *exec.Cmd) error {
	p := told{out: out, begun: time.Now()}
	cmd.Stderr = &p
	if err := cmd.Run(); err != nil {
		return wordsOf(p.errs.String(), err)
	}
	return nil
}

// told tells lines of progress from those of an error.
type told struct {
	out   io.Writer
	begun time.Time
	errs  bytes.Buffer
	line  []byte // that has not ended
}

// patience is for how long nobody asks what is waited for.
const patience = 5 * time.Second

func (p *told) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		p.line = append(p.line, line...)
		switch {
		case !bytes.HasSuffix(line, []byte("\n")):
			continue
		case bytes.HasPrefix(p.line, []byte("       waiting ")) && time.Since(p.begun) < patience:
		case bytes.HasPrefix(p.line, []byte("       ")):
			p.out.Write(p.line)
		default:
			p.errs.Write(p.line)
		}
		p.line = p.line[:0]
	}
	return len(b), nil
}

// show runs a command whose output a person wants to see as it comes.
func (c *upCommand) show(dir, name string, args ...string) error {
	cmd := c.personCommand(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, c.out, c.out
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 5*time.Second // git ends its ssh then
	return cmd.Run()
}

func (c *upCommand) seedArgs(args ...string) []string {
	args = append([]string{"seed"}, args...)
	args = append(args, "--data", c.dataDir)
	if c.config != "" {
		args = append(args, "--config", c.config)
	}
	return args
}

func (c *upCommand) status() (st seed.Status, err error) {
	text, err := c.asRoot(c.seedArgs("status", "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(text), &st)
	}
	return st, err
}

func (c *upCommand) start() (said string, err error) {
	_, err = os.Stat(filepath.Join(c.dataDir, "settings.json"))
	first := errors.Is(err, fs.ErrNotExist)
	st, err := c.status()
	running := err == nil && !st.Stopping
	switch {
	case first:
	case !running:
		said = "it had stopped; "
	case st.Version != version() && (st.System == nil || st.System.Seed == 0): // else it is of the platform's own release
		said = "another version ran; "
		if _, err := c.asRoot(c.seedArgs("stop")...); err != nil {
			return "", err
		}
		running = false
	}
	if err := showing(c.out, c.rootCommand(c.seedArgs("--daemon")...)); err != nil {
		return "", err
	}
	if st, err = c.status(); err != nil {
		return "", err
	}
	c.public, c.local = st.Public, cmp.Or(st.Local, "127.0.0.1")
	if running {
		return fmt.Sprintf("it has run for %s, as process %d", age(st.Since), st.PID), nil
	}
	return said + "running now, data in " + c.dataDir, nil
}

// configDir is where the person's own things are kept.
func (c *upCommand) configDir() (string, error) {
	dir := filepath.Join(c.person.home, ".config")
	if c.person.cred == nil {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", err
		}
	}
	dir = filepath.Join(dir, "hoist")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	_, err := c.exec("mkdir", "-p", "-m", "700", dir)
	return dir, err
}

func (c *upCommand) account() (string, error) {
	api := strings.TrimSuffix(c.public.API(), "/")
	os.Setenv("HOIST_HOST", api) // of all that follows
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		who, err := c.hoist("whoami")
		if err == nil {
			return "logged in as " + who, nil
		}
		// Any error but these comes from a platform that has just begun: no reason for a new password.
		known := strings.Contains(err.Error(), "Run `hoist login") || strings.Contains(err.Error(), "is not trusted")
		if known || time.Now().After(end) {
			break
		}
	}
	email, err := c.exec("git", "config", "user.email")
	if err != nil || email == "" {
		email = "admin@" + c.public.Domain
		if !strings.Contains(c.public.Domain, ".") {
			email += ".localdomain"
		}
	}
	dir, err := c.configDir()
	if err != nil {
		return "", err
	}
	file, password := filepath.Join(dir, "password"), hoist.NewSecret()[:24]
	if err := errors.Join(os.WriteFile(file, []byte(password+"\n"), 0o600), c.person.own(file)); err != nil {
		return "", err
	}
	admin := append(c.seedArgs("exec"), "api", c.self, "admin", "account", email, "--password-stdin", "--token", "hoist up")
	token, err := output(reading(password, c.rootCommand(admin...)))
	if err != nil {
		return "", err
	}
	login := []string{"login", "--host", api, "--token", "-"}
	// Also where URLs are http: `hoist run` is always TLS. A platform with another certificate has no CA.
	ca := filepath.Join(c.dataDir, "ca.pem")
	if _, err := os.Stat(ca); err == nil {
		login = append(login, "--ca", ca)
	}
	if _, err := output(reading(token, c.personCommand(c.self, login...))); err != nil {
		return "", err
	}
	return fmt.Sprintf("logged in as %s, password %s (also in %s)", email, password, file), nil
}

// key makes sure that the account has our SSH key, and that ssh knows the
// platform's.
func (c *upCommand) key() (string, error) {
	file, err := c.keyFile()
	if err != nil {
		return "", err
	}
	if _, err := c.hoist("keys:add", file+".pub"); err != nil && !strings.Contains(err.Error(), "already") {
		return "", err
	}
	host, err := os.ReadFile(filepath.Join(c.dataDir, "ssh_host_ed25519_key.pub"))
	if err != nil {
		return "", err
	}
	name := c.public.Domain // as in sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"
	if c.public.SSH != 22 {
		name = fmt.Sprintf("[%s]:%d", name, c.public.SSH)
	}
	known := filepath.Join(c.sshDir(), "known_hosts")
	if _, err := c.exec("mkdir", "-p", "-m", "700", c.sshDir()); err != nil {
		return "", err
	}
	line := name + " " + string(host)
	text, _ := os.ReadFile(known)
	if !bytes.Contains(text, []byte(line)) {
		if len(text) > 0 {
			c.exec("ssh-keygen", "-q", "-R", name, "-f", known) // of a platform before
		}
		f, err := os.OpenFile(known, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if _, err := f.WriteString(line); err != nil {
			return "", err
		}
	}
	return file, c.person.own(known)
}

func (c *upCommand) sshDir() string { return filepath.Join(c.person.sshHome, ".ssh") }

// keyFile is the person's usual key, or one of our own.
func (c *upCommand) keyFile() (string, error) {
	usual := filepath.Join(c.sshDir(), "id_ed25519")
	if _, err := os.Stat(usual + ".pub"); err == nil {
		return usual, nil
	}
	dir, err := c.configDir()
	if err != nil {
		return "", err
	}
	own := filepath.Join(dir, "id_ed25519")
	if _, err := os.Stat(own + ".pub"); err == nil {
		return own, nil
	}
	_, err = c.exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hoist", "-f", own)
	return own, err
}

// work is the sample app's working copy, for the person to go on with.
func (c *upCommand) work() string { return filepath.Join(c.person.home, "hoist-"+c.app) }

func (c *upCommand) create() (string, error) {
	work := c.work()
	_, err := os.Stat(filepath.Join(work, ".git", "HEAD"))
	if err == nil { // init makes that; were we stopped before the commit?
		_, err = c.exec("git", "-C", work, "rev-parse", "-q", "--verify", "HEAD")
	}
	if err != nil {
		if err := c.copyExample(); err != nil {
			return "", err
		}
		for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}} {
			if _, err := c.exec("git", append([]string{"-C", work}, args...)...); err != nil {
				return "", err
			}
		}
		if _, err := c.exec("git", "-C", work, "config", "user.email"); err != nil {
			// Nobody has told git who they are yet; here they need not.
			c.exec("git", "-C", work, "config", "user.name", "hoist")
			c.exec("git", "-C", work, "config", "user.email", "hoist@localhost")
		}
		if _, err := c.exec("git", "-C", work, "commit", "-q", "-m", "A first app"); err != nil {
			return "", err
		}
	}
	said := "it is there already"
	if _, err := c.hoist("info", "-a", c.app); err != nil {
		if _, err := c.hoist("create", c.app); err != nil {
			return "", err
		}
		said = "made"
	}
	key, err := c.keyFile()
	if err != nil {
		return "", err
	}
	c.exec("git", "-C", work, "remote", "remove", "hoist")
	if _, err := c.exec("git", "-C", work, "remote", "add", "hoist", c.public.GitSSH(c.app)); err != nil {
		return "", err
	}
	if filepath.Dir(key) == c.sshDir() {
		c.exec("git", "-C", work, "config", "--unset", "core.sshCommand")
	} else if _, err := c.exec("git", "-C", work, "config", "core.sshCommand", "ssh -o IdentitiesOnly=yes -i "+hoist.ShellQuote(key)); err != nil {
		return "", err
	}
	return said + ", working copy in " + work, nil
}

// copyExample makes the working copy, whole or not at all.
func (c *upCommand) copyExample() error {
	if _, err := os.Stat(c.work()); err == nil {
		return nil
	}
	unfinished := c.work() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.CopyFS(unfinished, os.DirFS(c.example)); err != nil {
		return err
	}
	if err := c.person.own(unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, c.work())
}

func (c *upCommand) push() (string, error) {
	return "the app has what is in " + c.work(), c.show(c.work(), "git", "push", "hoist", "HEAD:main")
}

func (c *upCommand) request() (string, error) {
	url := c.public.URL(c.app)
	client := *c.client()
	client.Timeout = 10 * time.Second
	plain := fmt.Sprintf("http://%s.%s:%d/", c.app, c.public.Domain, c.public.HTTP)
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
		resp, err := client.Get(plain)
		if err != nil {
			last = err.Error()
			continue
		}
		resp.Body.Close()
		if last = resp.Status; resp.StatusCode < 400 {
			return last + " from " + url, nil
		}
	}
	return "", fmt.Errorf("%s does not answer: %s; `hoist logs -a %s` may say why", url, last, c.app)
}

// screen is the end: what there is, and what to try.
func (c *upCommand) screen() {
	if c.example == "" {
		return
	}
	fmt.Fprintf(c.out, "\n%s\n\n", c.public.URL(c.app))
	c.show(c.work(), c.self, "ps", "-a", c.app)
	c.show(c.work(), c.self, "logs", "-a", c.app, "-n", "5")
	fmt.Fprintf(c.out, `
Try next:
  cd %s && hoist logs --tail
  hoist ps:scale web=2 -a %s
  hoist run bash -a %s
`, c.work(), c.app, c.app)
}
