package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist/api/schematest"
	"github.com/hoist-sh/hoist/oci/ocitest"
	"github.com/hoist-sh/hoist/socket"
	"github.com/vishvananda/netns"
	"golang.org/x/crypto/ssh"
)

// platform is a seed with all its components, in a directory, on ports and in
// a network of its own.
type platform struct {
	Dir   string
	Home  string // of the person who uses it
	HTTP  int
	HTTPS int
	SSH   int
	Run   int // rendezvous
	Email string
	Token string

	OtherEmail string // a second person
	OtherToken string

	network  string
	ns       *netns.NsHandle // the network that the seed is started in and asked from; nil for the tests' own
	settings []string        // further environment of the seed
	recorder *schematest.Recorder
	proxy    *httptest.Server
	takeDown func() error // once, by whoever is first
}

// hoistBin is the program under test, built once.
var hoistBin string

// freePort is one that nobody takes by chance.
func freePort() int {
	port, err := socket.FreePort()
	if err != nil {
		panic(err)
	}
	return port
}

// freeNetwork is one for dynos that no other platform on this machine has.
func freeNetwork() string {
	network, err := ocitest.Network()
	if err != nil {
		panic(err)
	}
	return network.String()
}

// newPlatform starts a platform with two accounts. settings are "NAME=value" for
// the seed.
func newPlatform(settings ...string) (*platform, error) {
	return newPlatformBy((*platform).start, settings...)
}

// newPlatformBy starts it in another way.
func newPlatformBy(start func(*platform) error, settings ...string) (*platform, error) {
	dir, err := os.MkdirTemp("", "hoist-e2e-")
	if err != nil {
		return nil, err
	}
	os.Chmod(dir, 0o755) // Postgres passes through it
	p := &platform{
		Dir: filepath.Join(dir, "data"), Home: filepath.Join(dir, "home"),
		HTTP: freePort(), HTTPS: freePort(), SSH: freePort(), Run: freePort(),
		Email: "ada@example.com", OtherEmail: "bob@example.com",
		network:  freeNetwork(),
		settings: settings,
	}
	p.takeDown = atEnd(p.down)
	if err := os.MkdirAll(filepath.Join(p.Home, ".ssh"), 0o700); err != nil {
		return nil, err
	}
	if err := start(p); err != nil {
		return p, err
	}
	for _, person := range []struct{ email, key string }{{p.Email, "id_ed25519"}, {p.OtherEmail, "other"}} {
		if err := p.addAccount(person.email, filepath.Join(p.Home, ".ssh", person.key)); err != nil {
			return p, err
		}
	}
	if p.Token, err = p.login(p.Email); err != nil {
		return p, err
	}
	if p.OtherToken, err = p.login(p.OtherEmail); err != nil {
		return p, err
	}
	schema, err := schematest.Load()
	if err != nil {
		return p, err
	}
	p.recorder = schematest.NewRecorder(schema)
	target, _ := url.Parse(fmt.Sprintf("http://localhost:%d", p.HTTP))
	p.proxy = httptest.NewServer(p.recorder.Proxy(target))
	return p, p.writeHome()
}

// recorded is the API's address with the recording proxy before it.
func (p *platform) recorded() string {
	u, _ := url.Parse(p.proxy.URL)
	return "http://localhost:" + u.Port()
}

func (p *platform) seedEnv() []string {
	env := append(os.Environ(), "HOIST_DATA="+p.Dir, "HOIST_NETWORK="+p.network,
		"HOIST_HTTP_PORT="+strconv.Itoa(p.HTTP), "HOIST_HTTPS_PORT="+strconv.Itoa(p.HTTPS),
		"HOIST_SSH_PORT="+strconv.Itoa(p.SSH), "HOIST_RENDEZVOUS_PORT="+strconv.Itoa(p.Run))
	return append(env, p.settings...)
}

// hoist runs the program as root with the seed's settings.
func (p *platform) hoist(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, hoistBin, args...)
	cmd.Env = p.seedEnv()
	cmd.WaitDelay = time.Second
	var out []byte
	run := func() (err error) { out, err = cmd.CombinedOutput(); return err }
	var err error
	if p.ns != nil {
		err = within(*p.ns, run)
	} else {
		err = run()
	}
	if err != nil {
		return string(out), fmt.Errorf("hoist %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// start starts the seed and returns when everything is ready.
func (p *platform) start() error {
	_, err := p.hoist("seed", "--daemon")
	return err
}

// seedPID is the seed's process.
func (p *platform) seedPID() (int, error) {
	out, err := p.hoist("seed", "status", "--json")
	var status struct{ PID int }
	if err == nil {
		err = json.Unmarshal([]byte(out), &status)
	}
	return status.PID, err
}

// close takes everything down and away, and reports what was left behind.
func (p *platform) close() error {
	if p.proxy != nil {
		p.proxy.Close()
	}
	return p.takeDown()
}

func (p *platform) down() error {
	cmd := exec.Command(hoistBin, "down")
	cmd.Env = p.seedEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is not for this one
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("hoist down: %w\n%s", err, out)
	}
	if left := p.leftovers(); left != "" {
		err = errors.Join(err, fmt.Errorf("left behind:\n%s", left))
	}
	return errors.Join(err, os.RemoveAll(filepath.Dir(p.Dir)))
}

// addAccount makes an account with a password and an SSH key.
func (p *platform) addAccount(email, keyFile string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	env, err := p.hoist("seed", "env", "api")
	if err != nil {
		return err
	}
	cmd := exec.Command(hoistBin, "admin", "account", email, "--password-stdin")
	cmd.Env = append(os.Environ(), strings.Split(strings.TrimSpace(env), "\n")...)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("admin account: %w: %s", err, out)
	}
	token, err := p.login(email)
	if err != nil {
		return err
	}
	body, _ := json.Marshal(map[string]string{"public_key": string(ssh.MarshalAuthorizedKey(public))})
	return p.call("POST", "/account/keys", token, body, nil)
}

const password = "correct horse battery staple"

// login returns a new token, as `heroku login -i` gets one.
func (p *platform) login(email string) (string, error) {
	var authorization struct {
		AccessToken struct{ Token string } `json:"access_token"`
	}
	err := p.do("POST", "/oauth/authorizations", []byte(`{"description":"e2e"}`), &authorization,
		func(r *http.Request) { r.SetBasicAuth(email, password) })
	return authorization.AccessToken.Token, err
}

// call does a request to the API.
func (p *platform) call(method, path, token string, body []byte, into any) error {
	return p.do(method, path, body, into, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
}

func (p *platform) do(method, path string, body []byte, into any, sign func(*http.Request)) error {
	r, err := http.NewRequest(method, fmt.Sprintf("http://localhost:%d%s", p.HTTP, path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/vnd.heroku+json; version=3")
	r.Header.Set("Content-Type", "application/json")
	sign(r)
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	answer.ReadFrom(resp.Body)
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer.String())
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Bytes(), into)
}

// get requests an app's page.
func (p *platform) get(app, path string) (int, string, error) {
	r, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d%s", p.HTTP, path), nil)
	r.Host = fmt.Sprintf("%s.localhost:%d", app, p.HTTP)
	client := http.Client{Timeout: 30 * time.Second}
	if p.ns != nil {
		client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = within(*p.ns, func() error {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		}}
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return resp.StatusCode, body.String(), err
}

// writeHome gives the person's home what the clients look for there.
func (p *platform) writeHome() error {
	netrc := ""
	for _, host := range []string{"localhost", "git.localhost"} {
		netrc += fmt.Sprintf("machine %s\n  login %s\n  password %s\n", host, p.Email, p.Token)
	}
	api, _ := url.Parse(p.recorded())
	netrc += fmt.Sprintf("machine localhost:%s\n  login %s\n  password %s\n", api.Port(), p.Email, p.Token)
	gitconfig := fmt.Sprintf(`[user]
	name = Ada
	email = %s
[init]
	defaultBranch = main
[http]
	sslCAInfo = %s
`, p.Email, p.caFile())
	for name, text := range map[string]string{".netrc": netrc, ".gitconfig": gitconfig} {
		if err := os.WriteFile(filepath.Join(p.Home, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	login := exec.Command(hoistBin, "login", "--host", p.recorded(), "--token", p.Token, "--ca", p.caFile())
	login.Env = append(os.Environ(), "HOME="+p.Home, "XDG_CONFIG_HOME="+filepath.Join(p.Home, ".config"))
	if out, err := login.CombinedOutput(); err != nil {
		return fmt.Errorf("hoist login: %w: %s", err, out)
	}
	return nil
}

func (p *platform) caFile() string { return filepath.Join(p.Dir, "ca.pem") }

func (p *platform) ssh(key string) string {
	return fmt.Sprintf("ssh -F none -i %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=%s -o BatchMode=yes",
		filepath.Join(p.Home, ".ssh", key), filepath.Join(p.Home, ".ssh", "known_hosts"))
}

// userEnv is the environment of the person who uses the platform.
func (p *platform) userEnv() map[string]string {
	return map[string]string{
		"HOME":               p.Home,
		"EMAIL":              p.Email,
		"TOKEN":              p.Token,
		"OTHER_EMAIL":        p.OtherEmail,
		"OTHER_TOKEN":        p.OtherToken,
		"HTTP_PORT":          strconv.Itoa(p.HTTP),
		"HTTPS_PORT":         strconv.Itoa(p.HTTPS),
		"SSH_URL":            fmt.Sprintf("ssh://git@localhost:%d", p.SSH),
		"HOIST_HOST":         p.recorded(),
		"HOIST_API_KEY":      p.Token,
		"GIT_SSH_COMMAND":    p.ssh("id_ed25519"),
		"OTHER_SSH":          p.ssh("other"),
		"GIT_CONFIG_GLOBAL":  filepath.Join(p.Home, ".gitconfig"),
		"XDG_CONFIG_HOME":    filepath.Join(p.Home, ".config"),
		"LANG":               "C.UTF-8",
		"TERM":               "xterm",
		"HEROKU_HOST":        p.recorded(),
		"HEROKU_API_KEY":     p.Token,
		"HEROKU_GIT_HOST":    fmt.Sprintf("git.localhost:%d", p.HTTPS),
		"HEROKU_DATA_DIR":    filepath.Join(p.Home, "heroku"),
		"HEROKU_CACHE_DIR":   filepath.Join(p.Home, "heroku-cache"),
		"HEROKU_NETRC_WRITE": "true",
		// The newest CLI reports usage unless told not to.
		"DISABLE_TELEMETRY":             "true",
		"HEROKU_SKIP_ANALYTICS":         "1",
		"HEROKU_SKIP_NEW_VERSION_CHECK": "true",
		"HEROKU_PARTICLEBOARD_URL":      "http://localhost:9",
		"NODE_EXTRA_CA_CERTS":           p.caFile(),
		"NODE_NO_WARNINGS":              "1",
	}
}

// userEnviron is ours with that of the person, "NAME=value".
func (p *platform) userEnviron() []string {
	env := os.Environ()
	for k, v := range p.userEnv() {
		env = append(env, k+"="+v)
	}
	return env
}

// randomName is a name for an app that no other test has.
func randomName(prefix string) string {
	b := make([]byte, 3)
	rand.Read(b)
	prefix = strings.ReplaceAll(strings.ToLower(prefix), "_", "-")
	return prefix[:min(len(prefix), 20)] + "-" + hex.EncodeToString(b)
}
