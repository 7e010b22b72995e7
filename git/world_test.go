package git_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/git"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/jackc/pgx/v5"
	gossh "golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == git.HookName:
		os.Exit(git.Hook(os.Stdin, os.Stderr))
	case os.Getenv("GIT_TEST_SERVER") != "":
		if err := serverProcess(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// world is a platform around git components: a real database, bus and blob
// store, and a stand-in for compile and api.
type world struct {
	t     *testing.T
	api   *postgres.DB
	roles *postgrestest.Roles
	nats  *natstest.Server
	bus   hoist.Bus
	blobs *blobtest.Store
	home  string // of the clients

	builders sync.WaitGroup
	finish   chan struct{} // lets one slow build go on
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	w := &world{t: t, home: t.TempDir(), finish: make(chan struct{})}
	w.nats = natstest.New(t)
	seed := w.nats.Bus(nats.ComponentSeed)
	if err := seed.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.bus = w.nats.Bus(hoist.ComponentAPI)
	w.blobs = blobtest.New(t)
	w.api, w.roles = postgrestest.New(t)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); w.builders.Wait() })
	w.builders.Go(func() { w.compile(ctx) })
	w.builders.Go(func() { w.release(ctx) })
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.api.Pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// person is an account with an SSH key and an API token.
type person struct {
	w       *world
	id      hoist.ID
	email   string
	token   string
	keyFile string
}

func (w *world) person(name string) *person {
	w.t.Helper()
	p := &person{w: w, id: hoist.NewID(), email: name + "@example.com", token: hoist.NewSecret()}
	public, private, _ := ed25519.GenerateKey(nil)
	key, err := gossh.NewPublicKey(public)
	if err != nil {
		w.t.Fatal(err)
	}
	block, _ := gossh.MarshalPrivateKey(private, "")
	p.keyFile = filepath.Join(w.home, name+"_key")
	os.WriteFile(p.keyFile, pem.EncodeToMemory(block), 0o600)
	hash := sha256.Sum256([]byte(p.token))
	w.exec(`INSERT INTO accounts (id, email) VALUES ($1, $2)`, p.id, p.email)
	w.exec(`INSERT INTO keys (id, account_id, public_key, fingerprint) VALUES ($1, $2, $3, $4)`,
		hoist.NewID(), p.id, string(gossh.MarshalAuthorizedKey(key)), gossh.FingerprintSHA256(key))
	w.exec(`INSERT INTO authorizations (id, account_id, token_hash) VALUES ($1, $2, $3)`, hoist.NewID(), p.id, hash[:])
	return p
}

func (p *person) app(name string) hoist.ID {
	p.w.t.Helper()
	id := hoist.NewID()
	p.w.exec(`INSERT INTO apps (id, name, owner_id, stack, region) VALUES ($1, $2, $3, 'host', 'local')`, id, name, p.id)
	return id
}

// command is a client's process of this person.
func (p *person) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.w.home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_SSH_COMMAND=" + strings.Join(p.sshArgs(), " "),
	}
	return cmd
}

func (p *person) sshArgs() []string {
	return []string{"ssh", "-F", "/dev/null", "-i", p.keyFile, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + filepath.Join(p.w.home, "known_hosts")}
}

// try runs a client's command and returns what it printed.
func (p *person) try(dir, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := p.command(dir, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (p *person) git(dir string, args ...string) string {
	p.w.t.Helper()
	out, err := p.try(dir, "git", args...)
	if err != nil {
		p.w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fails runs a git command that must fail and say want.
func (p *person) fails(want, dir string, args ...string) string {
	p.w.t.Helper()
	out, err := p.try(dir, "git", args...)
	if err == nil || !strings.Contains(out, want) {
		p.w.t.Fatalf("git %s: %v, want %q:\n%s", strings.Join(args, " "), err, want, out)
	}
	return out
}

// clone makes a working copy with a first commit, without a remote.
func (p *person) work() string {
	p.w.t.Helper()
	dir := p.w.t.TempDir()
	p.git(dir, "init", "-q", "-b", "main")
	p.commit(dir, "ok first")
	return dir
}

// commit makes a commit; the builder does what the message's first word says:
// ok, fail or slow.
func (p *person) commit(dir, message string) string {
	p.w.t.Helper()
	os.WriteFile(filepath.Join(dir, "file"), []byte(hoist.NewID()), 0o644)
	p.git(dir, "add", ".")
	p.git(dir, "commit", "-qm", message)
	return strings.TrimSpace(p.git(dir, "rev-parse", "HEAD"))
}

// refs are the app's refs in the database.
func (w *world) refs(app hoist.ID) map[string]string {
	w.t.Helper()
	r, err := w.api.Repo(context.Background(), app)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Refs
}

// states are the states of the app's builds, oldest first.
func (w *world) states(app hoist.ID) []string {
	w.t.Helper()
	rows, _ := w.api.Pool.Query(context.Background(), `SELECT state FROM builds WHERE app_id = $1 ORDER BY created_at`, app)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatal("not in time: ", what)
}

// compile stands in for the compile workers.
func (w *world) compile(ctx context.Context) {
	for ctx.Err() == nil {
		var b hoist.Build
		err := w.api.Pool.QueryRow(ctx, `
			UPDATE builds SET state = 'building' WHERE id = (
				SELECT id FROM builds WHERE state = 'pending' ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
			RETURNING id, app_id, source_description`).Scan(&b.ID, &b.AppID, &b.SourceDescription)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		w.builders.Go(func() {
			if err := w.build(ctx, b); err != nil && ctx.Err() == nil {
				w.t.Error("builder:", err)
			}
		})
	}
}

// say appends to the build's stream, except for builds whose message begins
// with "silent".
func (w *world) say(b hoist.Build, text string, end hoist.BuildState) {
	if strings.HasPrefix(b.SourceDescription, "silent") {
		return
	}
	data, _ := json.Marshal(hoist.BuildChunk{Text: text, End: end})
	w.bus.Append(hoist.StreamBuilds+b.ID, data)
}

func (w *world) build(ctx context.Context, b hoist.Build) error {
	w.say(b, "-----> Stand-in app detected\n", "")
	switch verb, _, _ := strings.Cut(b.SourceDescription, " "); verb {
	case "fail":
		why := "Push rejected, failed to compile Stand-in app."
		_, err := w.api.Pool.Exec(ctx, `UPDATE builds SET state = 'failed', error = $2, finished_at = now() WHERE id = $1`, b.ID, why)
		w.say(b, " !     "+why+"\n", hoist.BuildFailed)
		return err
	case "slow":
		for slow := true; slow; {
			select {
			case <-ctx.Done():
				return nil
			case <-w.finish:
				slow = false
			case <-time.After(50 * time.Millisecond):
				var s hoist.BuildState
				w.api.Pool.QueryRow(ctx, `SELECT state FROM builds WHERE id = $1`, b.ID).Scan(&s)
				if s.Done() {
					return nil
				}
			}
		}
	}
	_, err := w.api.Pool.Exec(ctx, `
		WITH slug AS (INSERT INTO slugs (id, app_id, blob_key, ready) VALUES (gen_random_uuid(), $2, gen_random_uuid()::text, true) RETURNING id)
		UPDATE builds SET state = 'built', slug_id = slug.id FROM slug WHERE builds.id = $1`, b.ID, b.AppID)
	return err
}

// release stands in for the api's releaser, with its transactions.
func (w *world) release(ctx context.Context) {
	for ctx.Err() == nil {
		b, err := w.api.ClaimBuilt(ctx, "test", time.Minute)
		if err != nil || b == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		state, errText := hoist.BuildSucceeded, ""
		r, err := w.api.ReleaseBuild(ctx, b.ID, "test", "Deploy "+b.SourceVersion[:8])
		if err != nil {
			state, errText = hoist.BuildFailed, err.Error()
		} else if strings.HasPrefix(b.SourceDescription, "unproven") {
			w.exec(`UPDATE releases SET status = 'failed' WHERE id = $1`, r.ID)
			w.say(*b, fmt.Sprintf("-----> Launching... failed, v%d\n", r.Version), "")
		} else {
			w.say(*b, fmt.Sprintf("-----> Launching... done, v%d\n", r.Version), "")
		}
		if err := w.api.FinishBuild(ctx, b.ID, "test", state, errText, "the whole output\n"); err != nil && ctx.Err() == nil {
			w.t.Error("releaser:", err)
		}
		w.say(*b, "", state)
	}
}

// status is the answer's status to a request without credentials.
func status(t *testing.T, url string) (int, http.Header) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode, res.Header
}
