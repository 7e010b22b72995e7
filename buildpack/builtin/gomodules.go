package builtin

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// moduleCache is GOMODCACHE in a build cache.
func moduleCache(cacheDir string) string { return filepath.Join(cacheDir, "go", "mod") }

// GoModules copies into a build cache what a module cache (GOMODCACHE) has of the modules that
// a go.sum names, so that a build finds them there and needs no network. It returns how many of these there are.
// Only downloads are taken, never anything compiled, and only what has the sum that go.sum says: what is
// missing, or was changed, the build fetches. Links out of the module cache are not followed.
func GoModules(cacheDir, modules string, goSum []byte) (there, named int, err error) {
	from, err := os.OpenRoot(filepath.Join(modules, "cache", "download"))
	if err != nil {
		return 0, 0, err
	}
	defer from.Close()
	for line := range strings.Lines(string(goSum)) {
		name, isModule := goDownload(line)
		if name == "" {
			continue
		}
		ok, err := take(from, name, filepath.Join(moduleCache(cacheDir), "cache", "download", name), strings.Fields(line)[2])
		if err != nil {
			return there, named, err
		}
		if isModule {
			named++
		}
		if isModule && ok {
			there++
		}
	}
	return there, named, nil
}

// goDownload is the file in a module cache (https://go.dev/ref/mod#module-cache) that a line of a go.sum has the
// sum of: a module or its go.mod. The name is empty if there is none.
func goDownload(line string) (name string, isModule bool) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return "", false
	}
	version, ext := strings.TrimSuffix(f[1], "/go.mod"), ".mod"
	if isModule = version == f[1]; isModule {
		ext = ".zip"
	}
	p, err := module.EscapePath(f[0])
	if err != nil {
		return "", false
	}
	v, err := module.EscapeVersion(version)
	if err != nil {
		return "", false
	}
	return path.Join(p, "@v", v+ext), isModule
}

// take copies a file if it has a sum, and reports whether.
func take(from *os.Root, name, to, sum string) (bool, error) {
	in, err := from.Open(name)
	if err != nil {
		return false, nil // missing, or a link to elsewhere
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return false, err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return true, nil // go.sum named it twice
	}
	if err != nil {
		return false, err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return false, err
	}
	got, err := goSumOf(to)
	if err != nil || got != sum {
		return false, os.Remove(to)
	}
	if filepath.Ext(to) != ".zip" {
		return true, nil
	}
	return true, os.WriteFile(to+"hash", []byte(sum), 0o644) // else the go command says that it downloads it
}

// goSumOf is the sum of a module or of a go.mod.
func goSumOf(file string) (string, error) {
	if filepath.Ext(file) == ".zip" {
		return dirhash.HashZip(file, dirhash.Hash1)
	}
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return os.Open(file) })
}
