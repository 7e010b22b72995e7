package oci

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

// What bash does behind the gate (https://devcenter.heroku.com/articles/dynos#startup).
const profile = `for f in /app/.profile.d/*.sh; do [ -f "$f" ] && . "$f"; done; [ -f /app/.profile ] && . /app/.profile
`

// letter is what the first process of a container does when the gate opens, in bash.
// The environment comes with it, since the process may be older than the specification.
func letter(spec hoist.ContainerSpec) string {
	var b strings.Builder
	fmt.Fprintf(&b, "exec %d<&-; cd %s; unset OLDPWD\nexport", letterFile(spec.Grants), homeDir)
	var odd []string
	for _, v := range environment(spec) {
		name, value, _ := strings.Cut(v, "=")
		if !variablePattern.MatchString(name) || slices.Contains(bashsOwn, name) {
			odd = append(odd, quote(v))
			continue
		}
		b.WriteString(" " + name + "=" + quote(value))
	}
	command := "bash -c " + quote(spec.Command)
	if len(odd) > 0 {
		command = "env " + strings.Join(odd, " ") + " " + command
	}
	if spec.Attach {
		// With a person or a build at the other end, signals must reach the
		// command as they do in a terminal, and orphans be waited for: bash stays.
		b.WriteString("\ntrap : HUP INT TERM\n" + profile + command + "; exit $?\n")
	} else {
		// A command becomes the first process itself, if it is a simple one.
		b.WriteString("\n" + profile + "exec " + command + "\n")
	}
	return b.String()
}

// Names that bash cannot export, or has for itself, are for the command only.
var (
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	bashsOwn        = []string{"BASHOPTS", "BASH_VERSINFO", "EUID", "POSIXLY_CORRECT", "PPID", "SHELLOPTS", "UID"}
)

// quote makes one word of a text. There is no NUL in a Unix argument or variable.
func quote(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
