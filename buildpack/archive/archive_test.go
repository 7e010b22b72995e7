package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/buildpack/archive"
)

var limits = archive.Limits{Size: 1 << 20, Files: 100}

type entry struct {
	name, body, link string
	kind             byte
	records          map[string]string // PAX
}

func tarOf(entries ...entry) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		h := tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.body)), PAXRecords: e.records}
		if e.kind == tar.TypeXGlobalHeader {
			h = tar.Header{Name: e.name, Typeflag: e.kind, PAXRecords: e.records}
		}
		if err := tw.WriteHeader(&h); err != nil {
			panic(err)
		}
		tw.Write([]byte(e.body))
	}
	tw.Close()
	return buf.Bytes()
}

func gzipped(p []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(p)
	z.Close()
	return buf.Bytes()
}

func TestExtractKeepsFilesLinksAndModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	text := tarOf(entry{name: "./", kind: tar.TypeDir}, entry{name: "a/b/c.txt", body: "hello"}, entry{name: "a/link", link: "b/c.txt", kind: tar.TypeSymlink},
		entry{name: "abs", link: "/app/a", kind: tar.TypeSymlink}, entry{name: "up", link: "../shared", kind: tar.TypeSymlink}, entry{name: "hard", link: "a/b/c.txt", kind: tar.TypeLink},
		entry{name: "a/b/c.txt", body: "again"})
	if err := archive.Extract(bytes.NewReader(gzipped(text)), dir, limits); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a/b/c.txt": "again", "a/link": "again", "hard": "hello"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"abs": "/app/a", "up": "../shared"} {
		if got, _ := os.Readlink(filepath.Join(dir, name)); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	many := make([]entry, 101)
	for i := range many {
		many[i].name = strings.Repeat("x", i+1)
	}
	for what, c := range map[string]struct {
		text []byte
		want string
	}{
		"an absolute path":       {tarOf(entry{name: "/etc/passwd"}), "outside of itself"},
		"a climbing path":        {tarOf(entry{name: "a/../../x"}), "outside of itself"},
		"a hard link out":        {tarOf(entry{name: "l", link: "../x", kind: tar.TypeLink}), "link out of itself"},
		"an absolute hard link":  {tarOf(entry{name: "l", link: "/etc/passwd", kind: tar.TypeLink}), "link out of itself"},
		"a write through a link": {tarOf(entry{name: "l", link: "/tmp", kind: tar.TypeSymlink}, entry{name: "l/x"}), ""},
		"a write above":          {tarOf(entry{name: "l", link: "..", kind: tar.TypeSymlink}, entry{name: "l/x"}), ""},
		"a link from above":      {tarOf(entry{name: "l", link: "..", kind: tar.TypeSymlink}, entry{name: "h", link: "l/x", kind: tar.TypeLink}), ""},
		"a device":               {tarOf(entry{name: "d", kind: tar.TypeBlock}), "special file"},
		"a pipe":                 {tarOf(entry{name: "d", kind: tar.TypeFifo}), "special file"},
		"too much":               {tarOf(entry{name: "a", body: strings.Repeat("x", 1<<20)}, entry{name: "b", body: "x"}), "more than 1 MB"},
		"too many":               {tarOf(many...), "more than 100 files"},
		"half an archive":        {tarOf(entry{name: "a", body: strings.Repeat("x", 2000)})[:1000], "not a complete"},
		"half a gzip":            {gzipped(tarOf(entry{name: "a", body: "x"}))[:60], "not a complete"},
		"a wrong checksum":       {flip(gzipped(tarOf(entry{name: "a", body: "x"}))), "not a complete"},
		"a bomb after the end":   {gzipped(append(tarOf(entry{name: "a"}), make([]byte, 8<<20)...)), "data after the end"},
		"a page of HTML":         {[]byte("<html>" + strings.Repeat("x", 2000)), "not a complete"},
		"nothing":                {nil, "empty"},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		err := archive.Extract(bytes.NewReader(c.text), dir, limits)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// flip damages the checksum of a gzip.
func flip(p []byte) []byte {
	p[len(p)-6] ^= 1
	return p
}

func TestCreateAndExtractAreInverse(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "x")
	os.MkdirAll(filepath.Join(from, "a/b"), 0o755)
	os.WriteFile(filepath.Join(from, "a/b/run"), []byte("#!"), 0o755)
	os.WriteFile(filepath.Join(from, "a/read-only"), []byte("x"), 0o444)
	os.Symlink("b/run", filepath.Join(from, "a/link"))
	var buf bytes.Buffer
	if err := archive.Create(&buf, from, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := archive.Extract(&buf, to, limits); err != nil {
		t.Fatal(err)
	}
	filepath.WalkDir(from, func(path string, _ fs.DirEntry, _ error) error {
		rel, _ := filepath.Rel(from, path)
		a, _ := os.Lstat(path)
		b, err := os.Lstat(filepath.Join(to, rel))
		if err != nil || a.Mode() != b.Mode() || a.Mode().IsRegular() && a.ModTime().Sub(b.ModTime()).Abs() > time.Second {
			t.Errorf("%s: %v %v", rel, b, err)
		}
		return nil
	})
}

func TestCreateIsBounded(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "a"), []byte("hello"), 0o644)
	if err := archive.Create(new(bytes.Buffer), dir, 10); !errors.Is(err, archive.ErrTooLarge) {
		t.Error(err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(tarOf(entry{name: "a/b", body: "x"}, entry{name: "l", link: "a/b", kind: tar.TypeSymlink}))
	f.Add(tarOf(entry{name: "l", link: "/tmp", kind: tar.TypeSymlink}, entry{name: "l/x", body: "y"}))
	f.Add(tarOf(entry{name: "l", link: "..", kind: tar.TypeSymlink}, entry{name: "l/x", body: "y"}))
	f.Add(tarOf(entry{name: "../x"}, entry{name: "h", link: "h", kind: tar.TypeLink}))
	f.Add(gzipped(tarOf(entry{name: "a"})))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		top := t.TempDir()
		archive.Extract(bytes.NewReader(text), filepath.Join(top, "x"), limits)
		if list, _ := os.ReadDir(top); len(list) > 1 {
			t.Errorf("it wrote outside: %v", list)
		}
	})
}
