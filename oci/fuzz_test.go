package oci

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// A command or config var is the same behind the gate, whatever is in it.
func FuzzLetter(f *testing.F) {
	f.Add("printf %s \"$A\"", "A", "it's $(here) `and` \"there\"\n\\")
	f.Add("exit 3", "NOT A NAME", "x=y")
	f.Add("echo 'x", "BASHOPTS", "")
	f.Fuzz(func(t *testing.T, command, name, value string) {
		if strings.Contains(name, "\x00") || name == "" || strings.Contains(name, "=") {
			t.Skip() // no variable of the platform's: those come as NAME=value
		}
		text := letter(hoist.ContainerSpec{Command: command, Env: map[string]string{name: value}})
		// What is after the environment would run; only what bash makes of the words matters.
		words := strings.ReplaceAll(text, "\nexec env ", "\nprintf '%s\\0' ")
		words = strings.ReplaceAll(words, "\nexec bash -c ", "\nprintf '%s\\0' ")
		_, words, found := strings.Cut(words, profile)
		if !found {
			t.Fatal(text)
		}
		out, err := exec.Command("bash", "-c", words).Output()
		if err != nil {
			t.Fatalf("%v: %q", err, words)
		}
		list := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if got, want := list[len(list)-1], strings.ReplaceAll(command, "\x00", ""); got != want {
			t.Errorf("the command %q is %q", want, got)
		}
	})
}

// What a dyno writes is handed on whole, in lines that are not too long, wherever it is torn.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nend"), uint16(3))
	f.Add([]byte("x"+strings.Repeat("ä", 15_000)+"\n"+strings.Repeat("y", 20_000)+"\n"), uint16(9_999))
	f.Add(bytes.Repeat([]byte{0xf0, 0x9f}, 6_000), uint16(1_000))
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		if len(data) > 50_000 || int(size)*500 < len(data) {
			t.Skip()
		}
		var fds, copies [2]int
		if unix.Pipe2(fds[:], unix.O_NONBLOCK) != nil || unix.Pipe2(copies[:], unix.O_NONBLOCK) != nil {
			t.Fatal("pipe")
		}
		o := &output{copy: copies}
		var got bytes.Buffer
		out := fuzzedLines{f: func(line []byte) {
			if len(line) > hoist.LogLineLimit {
				t.Errorf("a line of %d bytes", len(line))
			}
			if utf8.Valid(data) && !utf8.Valid(line) {
				t.Errorf("cut within a character: %q", line[max(0, len(line)-10):])
			}
			got.Write(line)
		}}
		for rest := data; ; {
			n, err := unix.Write(fds[1], rest[:min(len(rest), int(size))])
			if err != nil && err != unix.EAGAIN {
				t.Fatal(err)
			}
			if rest = rest[max(n, 0):]; len(rest) == 0 {
				unix.Close(fds[1])
			}
			more, err := true, error(nil)
			for more && err == nil {
				more, err = o.step(t.Context(), fds[0], out)
			}
			if err != nil && err != unix.EAGAIN {
				t.Fatal(err)
			}
			if err == nil { // the end
				break
			}
		}
		for _, fd := range []int{fds[0], copies[0], copies[1]} {
			unix.Close(fd)
		}
		strip := strings.NewReplacer("\n", "", "\r", "")
		if want := strip.Replace(string(data)); strip.Replace(got.String()) != want {
			t.Errorf("%d bytes became %d", len(want), got.Len())
		}
	})
}

type fuzzedLines struct {
	nowhere
	f func(line []byte)
}

func (l fuzzedLines) Line(_ hoist.Place, line []byte) { l.f(line) }

func FuzzAccounts(f *testing.F) {
	f.Add("root:hash:0:0:root:/root:/bin/bash\nalice:x:1001:1001::/home/alice:/bin/sh\ntorn\nnobody:x:65534:65534::/:/bin/false\n")
	f.Fuzz(func(t *testing.T, text string) {
		from, to := t.TempDir()+"/passwd", t.TempDir()+"/passwd"
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := makeAccounts(from, to, "dyno:x:1000:1000::/app:/bin/bash\n"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(to)
		if err != nil || !strings.HasSuffix(string(got), "dyno:x:1000:1000::/app:/bin/bash\n") {
			t.Fatalf("%q, %v", got, err)
		}
		for line := range strings.Lines(string(got)) {
			if fields := strings.Split(line, ":"); fields[1] != "x" {
				t.Errorf("a password: %q", line)
			}
		}
	})
}
