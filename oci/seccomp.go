package oci

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:embed seccomp.txt
var allowedSyscalls string

// Flags of clone(2) that make namespaces: a dyno must not, since each new
// kind of namespace shows it kernel code that expects root.
const cloneNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// socketFamilies are what dynos talk by. AF_VSOCK, for one, talks to the hypervisor and to
// what listens there for it on this machine, past every firewall.
var socketFamilies = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// seccompFilter is the filter of every dyno.
func seccompFilter() *specs.LinuxSeccomp {
	errno := func(e unix.Errno) *uint { n := uint(e); return &n }
	allow := func(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args}
	}
	filter := &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: errno(unix.EPERM),
		Architectures:   seccompArchitectures[runtime.GOARCH],
		Syscalls: []specs.LinuxSyscall{
			{Names: syscallNames(allowedSyscalls), Action: specs.ActAllow},
			allow("clone", specs.LinuxSeccompArg{Index: 0, Value: cloneNamespaces, Op: specs.OpMaskedEqual}),
			// Its flags are in memory, where a filter cannot look; libc
			// falls back to clone.
			{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: errno(unix.ENOSYS)},
		},
	}
	// The kernel looks at the lower 32 bits only, a filter at all 64: a family that is one
	// of those it shall not be, with a bit above, would pass a comparison.
	for _, family := range socketFamilies {
		filter.Syscalls = append(filter.Syscalls,
			allow("socket", specs.LinuxSeccompArg{Index: 0, Value: 1<<32 - 1, ValueTwo: family, Op: specs.OpMaskedEqual}))
	}
	// Linux, 32 bit, and "what is it now"; not the ones that switch off ASLR's friends.
	for _, persona := range []uint64{0x0, 0x8, 0x20000, 0x20008, 0xffffffff} {
		filter.Syscalls = append(filter.Syscalls,
			allow("personality", specs.LinuxSeccompArg{Index: 0, Value: persona, Op: specs.OpEqualTo}))
	}
	return filter
}

var seccompArchitectures = map[string][]specs.Arch{
	"amd64": {specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
	"arm64": {specs.ArchAARCH64, specs.ArchARM},
}

// syscallNames reads a list of words with comments from # to the line's end.
func syscallNames(list string) []string {
	var names []string
	for line := range strings.Lines(list) {
		line, _, _ = strings.Cut(line, "#")
		names = append(names, strings.Fields(line)...)
	}
	return names
}

// seccompProgram returns the filter as crun compiled it for an earlier
// container, or nil.
func (e *Engine) seccompProgram() []byte {
	if p := e.seccomp.Load(); p != nil {
		return *p
	}
	program, err := os.ReadFile(e.seccompFile())
	if err != nil || len(program) == 0 {
		return nil
	}
	e.seccomp.Store(&program)
	return program
}

// keepSeccomp keeps the program that crun compiled for a container, for those to come.
func (e *Engine) keepSeccomp(id string) {
	if e.runtime.name != "crun" || e.seccomp.Load() != nil {
		return
	}
	program, err := os.ReadFile(filepath.Join(e.runtime.root, id, "seccomp.bpf"))
	if err != nil || len(program) == 0 {
		return
	}
	tmp := e.seccompFile() + "." + id
	if os.WriteFile(tmp, program, 0o600) == nil && os.Rename(tmp, e.seccompFile()) == nil {
		e.seccomp.Store(&program)
	}
}

// seccompFile is named after what the program depends on.
func (e *Engine) seccompFile() string {
	version := ""
	if st, err := os.Stat(e.runtime.path); err == nil {
		version = st.ModTime().String()
	}
	filter, _ := json.Marshal(seccompFilter())
	sum := sha256.Sum256(append([]byte(runtime.GOARCH+version), filter...))
	return filepath.Join(e.dir, "seccomp-"+hex.EncodeToString(sum[:8])+".bpf")
}
