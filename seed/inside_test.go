package seed

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAPanicIsAnErrorLikeOthers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	task := &task{name: "x", run: func(ctx context.Context, ready func()) error {
		switch runs++; runs {
		case 1:
			panic("boom")
		case 2:
			return errors.New("no")
		}
		ready()
		cancel()
		<-ctx.Done()
		return nil
	}}
	var log bytes.Buffer
	task.keep(ctx, slog.New(slog.NewTextHandler(&log, nil)))
	if st := task.status(); runs != 3 || st.Restarts != 2 || st.State != stateStopped {
		t.Errorf("%d runs, %+v", runs, st)
	}
	if !strings.Contains(log.String(), "panic: boom") {
		t.Error(log.String())
	}
}

func TestTheCertificateIsKeptAndRenewed(t *testing.T) {
	s := Settings{DataDir: t.TempDir(), Domain: "paas.example"}
	now := time.Now()
	serial := func(at time.Time) string {
		t.Helper()
		if err := s.ensureCerts(at); err != nil {
			t.Fatal(err)
		}
		cert, err := tls.LoadX509KeyPair(s.certFile())
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{s.Domain, "app." + s.Domain, "localhost", "127.0.0.1"} {
			if err := cert.Leaf.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		return cert.Leaf.SerialNumber.String()
	}
	first := serial(now)
	if serial(now.AddDate(0, 6, 0)) != first {
		t.Error("a good certificate was replaced")
	}
	second := serial(now.AddDate(0, 0, certDays-20))
	if second == first {
		t.Error("not renewed in its last month")
	}
	s.Domain = "other.example"
	if serial(now.AddDate(0, 0, certDays-20)) == second {
		t.Error("not renewed for another domain")
	}
}

func TestTheLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed.log")
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	line := append(bytes.Repeat([]byte("x"), 1<<20-1), '\n')
	for range 40 {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, path + ".1"} {
		if st, err := os.Stat(name); err != nil || st.Size() > logLimit {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALogThatCannotBeBegunAgainGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "seed.log")
	os.Mkdir(dir, 0o700)
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	full := bytes.Repeat([]byte("x"), logLimit)
	write := func() {
		t.Helper()
		if _, err := l.Write(full); err != nil {
			t.Error(err)
		}
	}
	write()
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	write()
	os.Mkdir(dir, 0o700)
	write()
	if st, err := os.Stat(path); err != nil || st.Size() != logLimit {
		t.Errorf("no new file: %v", err)
	}
}

func TestADamagedStateFileIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed.json")
	os.WriteFile(path, []byte("{half"), 0o600)
	if _, err := loadState(path, func(int) bool { return false }); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Error(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "{half" {
		t.Error("the file was changed")
	}
}

// A blob that is on its way when the seed stops, or is replaced, arrives; a connection that a client only holds does
// not keep the seed.
func TestWhatIsUnderWayIsServedToItsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			stop()
			time.Sleep(200 * time.Millisecond)
			select {
			case <-served:
				t.Error("the server has ended before")
			default:
			}
			io.WriteString(w, " and half")
		}), slog.New(slog.DiscardHandler))
	}()
	reserve, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer reserve.Close()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	began := time.Now()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "half and half" {
		t.Errorf("%q %v", body, err)
	}
	<-served
	if took := time.Since(began); took > 3*time.Second { // Shutdown alone takes more than 5
		t.Errorf("the server ended after %s", took)
	}
}

// `hoist seed --daemon` goes on when systemd was told so, and not before.
func TestSystemdIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	for range 2 {
		if err := NotifyStarted(); err != nil {
			t.Fatal(err)
		}
	}
	if value, set := os.LookupEnv("NOTIFY_SOCKET"); set {
		t.Errorf("programs that the seed starts are told of %s", value)
	}
	text := make([]byte, 100)
	n, _, err := systemd.ReadFrom(text)
	if err != nil || string(text[:n]) != "READY=1" {
		t.Errorf("%q, %v", text[:n], err)
	}
	systemd.SetReadDeadline(time.Now())
	if n, _, err := systemd.ReadFrom(text); err == nil {
		t.Errorf("told twice: %q", text[:n])
	}
}

func TestAUnitKeepsArgumentsAndEnvironment(t *testing.T) {
	s := Defaults()
	s.DataDir = "/srv/100% hoist"
	text := s.unitText("/usr/local/bin/hoist", []string{"seed", "--domain", `a "b" $c 100%`})
	for _, want := range []string{`ExecStart="/usr/local/bin/hoist" "seed" "--domain" "a \"b\" $$c 100%%" "--background"`, "KillMode=process", "Type=notify",
		`ExecStopPost="/usr/local/bin/hoist" seed off --data "/srv/100%% hoist"`, "\nEnvironmentFile=/srv/100%% hoist/seed.env\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	// Everybody on the machine sees a unit's own settings.
	if strings.Contains(text, "Environment=") {
		t.Error(text)
	}
	environ := environmentText([]string{"HOIST_HTTP_PORT=80", "HOIST_BUILD_ENV_GOPROXY=a,b", "HOIST_BUILD_TIMEOUT=5m", "PATH=/bin", "HOIST_DOMAIN=",
		"DATABASE_URL=postgres://u:p$1%25\\\"`'#@db/x"})
	want := `HOIST_HTTP_PORT="80"
HOIST_BUILD_ENV_GOPROXY="a,b"
HOIST_BUILD_TIMEOUT="5m"
HOIST_DOMAIN=""
DATABASE_URL="postgres://u:p\$1%25\\\"` + "\\`" + `'#@db/x"
`
	if environ != want {
		t.Errorf("%s\nnot\n%s", environ, want)
	}
}
