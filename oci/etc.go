package oci

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// etcCopied is what a dyno sees of the stack's /etc (patterns of
// filepath.Match): the parts that tell programs where things are. Files that
// not everybody may read are left out wherever they are.
var etcCopied = []string{
	"alternatives", "ca-certificates", "ca-certificates.conf", "pki", "ssl",
	"apt/sources.list", "apt/sources.list.d", "apt/trusted.gpg", "apt/trusted.gpg.d", "apt/keyrings", "dpkg",
	"bash.bashrc", "profile", "inputrc", "terminfo", "default/locale", "locale.alias",
	"debian_version", "os-release", "lsb-release", "redhat-release", "alpine-release",
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone",
	"ethertypes", "gai.conf", "host.conf", "networks", "protocols", "rpc", "services",
	"fonts", "ImageMagick-*", "magic", "magic.mime", "mailcap", "mime.types", "xml",
	"java-*", "perl", "python3*", "php", "R", "shells",
}

// etcFixed are files that are the same in every stack.
var etcFixed = map[string]string{
	"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n" +
		"networks: files\nprotocols: files\nservices: files\nrpc: files\n",
	"hosts":       "", // each container's own is mounted over it
	"resolv.conf": "",
}

// makeEtc makes the directory etc of a dyno from that of a stack.
func makeEtc(from, etc string) error {
	// apt complains without these. What the host has in them, such as a proxy's password, is not for dynos.
	for _, dir := range []string{"apt/apt.conf.d", "apt/preferences.d", "apt/sources.list.d"} {
		if err := os.MkdirAll(filepath.Join(etc, dir), 0o755); err != nil {
			return err
		}
	}
	for _, pattern := range etcCopied {
		matches, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, path := range matches {
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			if err := copyPublic(path, filepath.Join(etc, rel)); err != nil {
				return fmt.Errorf("oci: copy %s: %w", path, err)
			}
		}
	}
	if err := makeSourcesList(filepath.Join(etc, "apt/sources.list")); err != nil {
		return err
	}
	for name, text := range etcFixed {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink("/proc/mounts", filepath.Join(etc, "mtab")); err != nil {
		return err
	}
	for name, dyno := range map[string]string{
		"passwd": fmt.Sprintf("%s:x:%d:%[2]d:dyno:%[3]s:%[4]s\n", dynoUser, dynoUID, homeDir, dynoShell),
		"group":  fmt.Sprintf("%s:x:%d:\n", dynoUser, dynoUID),
	} {
		if err := makeAccounts(filepath.Join(from, name), filepath.Join(etc, name), dyno); err != nil {
			return err
		}
	}
	return nil
}

// makeSourcesList makes an empty list where the stack has all its sources in sources.list.d, as
// Debian has since 12: Heroku's apt buildpack reads both, and does not expect this one to be missing.
func makeSourcesList(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// makeAccounts writes a passwd or group file: the stack's system accounts
// (ids below 1000, and nobody), then the dyno's.
func makeAccounts(from, to, dyno string) error {
	data, err := os.ReadFile(from)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 3 || len(fields[2]) > 3 && fields[2] != "65534" || fields[0] == dynoUser {
			continue
		}
		if fields[1] = "x"; len(fields) == 4 {
			fields[3] = "" // a group's members are nobody's business
		}
		out.WriteString(strings.Join(fields, ":") + "\n")
	}
	out.WriteString(dyno)
	return os.WriteFile(to, out.Bytes(), 0o644)
}

// copyPublic copies a tree as far as everybody may read it.
func copyPublic(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir() && mode&0o005 != 0o005:
			return fs.SkipDir
		case mode.IsDir():
			return os.MkdirAll(target, 0o755)
		case mode&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case mode.IsRegular() && mode&0o004 != 0:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, data, 0o644|mode&0o111)
		}
		return nil
	})
}
