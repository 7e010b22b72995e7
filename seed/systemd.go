package seed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

func hasSystemd() bool {
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	return err == nil
}

func (s *Settings) unit() string     { return s.Name() + ".service" }
func (s *Settings) unitFile() string { return "/etc/systemd/system/" + s.unit() }

// startUnit writes and starts a unit. Only the seed itself is ended with it:
// the dynos go on.
func startUnit(ctx context.Context, s Settings, binary string, args []string) error {
	if err := writeFile(s.unitFile(), []byte(s.unitText(binary, args, os.Environ())), 0o600); err != nil {
		return err
	}
	return errors.Join(systemctl(ctx, "daemon-reload"), systemctl(ctx, "enable", s.unit()), systemctl(ctx, "restart", s.unit()))
}

// unitText also keeps the settings that came from the environment.
func (s *Settings) unitText(binary string, args, environ []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=hoist, the seed of %s\nAfter=network-online.target\nWants=network-online.target\n\n", s.Domain)
	fmt.Fprintf(&b, "[Service]\nExecStart=%s", quoteUnit(binary))
	for _, a := range args {
		fmt.Fprintf(&b, " %s", quoteUnit(a))
	}
	b.WriteString("\nKillMode=process\nRestart=on-failure\nRestartSec=1\nTimeoutStopSec=90\nLimitNOFILE=1048576\nTasksMax=infinity\n")
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); value != "" && IsSetting(name) {
			fmt.Fprintf(&b, "Environment=%s\n", quoteUnit(kv))
		}
	}
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// quoteUnit quotes a word (systemd.syntax(7)); "%" and "$" mean something there.
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
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
