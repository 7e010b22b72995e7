package seed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func hasSystemd() bool {
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	return err == nil
}

func (s *Settings) unit() string     { return s.Name() + ".service" }
func (s *Settings) unitFile() string { return "/etc/systemd/system/" + s.unit() }

// startUnit writes and starts a unit, and returns when its seed has started. Only the
// seed itself is ended with it: the dynos go on. One that cannot start is not tried again.
func startUnit(ctx context.Context, s Settings, binary string, args []string) error {
	if err := errors.Join(writeFile(s.file(unitEnvironment), []byte(environmentText(os.Environ())), 0o600),
		writeFile(s.unitFile(), []byte(s.unitText(binary, args)), 0o600)); err != nil {
		return err
	}
	if err := errors.Join(systemctl(ctx, "daemon-reload"), systemctl(ctx, "enable", s.unit())); err != nil {
		return err
	}
	begun := time.Now()
	if err := systemctl(ctx, "restart", s.unit()); err != nil {
		return errors.Join(s.said(ctx, begun), err, systemctl(context.WithoutCancel(ctx), "stop", s.unit()))
	}
	return nil
}

// said is what the unit's seed has written since a time: why it cannot start. Once it
// has started it has a log of its own.
func (s *Settings) said(ctx context.Context, since time.Time) error {
	text, _ := exec.CommandContext(ctx, "journalctl", "--quiet", "--output=cat", "--lines=10",
		fmt.Sprintf("--since=@%d", since.Unix()), "_SYSTEMD_UNIT="+s.unit(), "_TRANSPORT=stdout").Output()
	if len(text) == 0 {
		return nil
	}
	return errors.New(strings.TrimSpace(strings.ReplaceAll(string(text), " !    ", "")))
}

// MachineStops reports whether systemd shuts the machine down.
func MachineStops(ctx context.Context) bool {
	out, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output()
	return strings.TrimSpace(string(out)) == "stopping"
}

// NotifyStarted tells systemd, if that started this process, that it has started (sd_notify(3)).
// Programs that we start shall not.
func NotifyStarted() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	os.Unsetenv("NOTIFY_SOCKET")
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("READY=1"))
	return err
}

// unitEnvironment is the file in the data directory with the settings that came from the environment. What is
// in a unit is shown to everybody on the machine, and some are secrets.
const unitEnvironment = "seed.env"

// environmentText is that file (EnvironmentFile= in systemd.exec(5)).
func environmentText(environ []string) string {
	var b strings.Builder
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); IsSetting(name) { // an empty one takes a remembered one back
			fmt.Fprintf(&b, "%s=\"%s\"\n", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value))
		}
	}
	return b.String()
}

// unitText is the unit. A seed that ends by a fault
// is started again for ever, as its keeper would; one that is slow to start is not taken for one that has failed.
func (s *Settings) unitText(binary string, args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=hoist, the seed of %s\nAfter=network-online.target\nWants=network-online.target\nStartLimitIntervalSec=0\n\n", s.Domain)
	fmt.Fprintf(&b, "[Service]\nType=notify\nExecStart=%s", quoteUnit(binary))
	for _, a := range append(slices.Clone(args), "--background") {
		fmt.Fprintf(&b, " %s", quoteUnit(a))
	}
	fmt.Fprintf(&b, "\nExecStopPost=%s seed off --data %s", quoteUnit(binary), quoteUnit(s.DataDir))
	fmt.Fprintf(&b, "\nEnvironmentFile=%s", strings.ReplaceAll(s.file(unitEnvironment), "%", "%%")) // the rest of the line, unquoted
	b.WriteString("\nKillMode=process\nRestart=on-failure\nRestartSec=1\nTimeoutStartSec=600\nTimeoutStopSec=90\nLimitNOFILE=1048576\nTasksMax=infinity\n")
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// quoteUnit quotes a word of a command (systemd.syntax(7), systemd.service(5)); "%" and "$" mean something there.
func quoteUnit(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`).Replace(word) + `"`
}

// RemoveUnit removes the seed's unit, if there is one, so that it does not
// start with the machine any more.
func RemoveUnit(ctx context.Context, s Settings) error {
	if _, err := os.Stat(s.unitFile()); errors.Is(err, fs.ErrNotExist) || !hasSystemd() {
		return nil
	}
	return errors.Join(systemctl(ctx, "disable", "--now", s.unit()), os.Remove(s.unitFile()), systemctl(ctx, "daemon-reload"))
}

func systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("systemctl %s did not end in time: %w", strings.Join(args, " "), ctx.Err())
	} else if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
