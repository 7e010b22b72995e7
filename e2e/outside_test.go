package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// outside is a host on "the internet": a network namespace of our own, behind
// the machine's routing, with a web server in it.
type outside struct {
	URL  string
	link string
	ns   netns.NsHandle
	l    net.Listener
}

// newOutside makes the host at a random address of 198.18.0.0/15, the range
// set aside for tests of networks (RFC 2544).
func newOutside() (*outside, error) {
	a, b := rand.IntN(256), 4*rand.IntN(64)
	ours := fmt.Sprintf("198.18.%d.%d/30", a, b+1)
	theirs := fmt.Sprintf("198.18.%d.%d/30", a, b+2)
	o := &outside{link: fmt.Sprintf("hoist-out%04x", rand.IntN(1<<16))}

	home, err := netns.Get()
	if err != nil {
		return nil, err
	}
	err = onThread(func() (err error) {
		if o.ns, err = netns.New(); err != nil {
			return err
		}
		outer, err := netlink.NewHandleAt(home)
		if err != nil {
			return err
		}
		defer outer.Close()
		if err := outer.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: o.link}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(o.ns)}); err != nil {
			return err
		}
		inner, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer inner.Close()
		if err := up(outer, o.link, ours); err != nil {
			return err
		}
		if err := up(inner, "eth0", theirs); err != nil {
			return err
		}
		o.l, err = net.Listen("tcp", theirs[:len(theirs)-len("/30")]+":80")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("outside: %w", err)
	}
	o.URL = "http://" + theirs[:len(theirs)-len("/30")]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from outside") })
	mux.HandleFunc("GET /buildpack.tgz", func(w http.ResponseWriter, _ *http.Request) { w.Write(ownBuildpack()) })
	go http.Serve(o.l, mux)
	return o, nil
}

// onThread calls a function on a thread of its own, which is never given back (no Unlock): it may enter another namespace.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// newLoopback makes a network namespace with nothing but the loopback.
func newLoopback() (ns netns.NsHandle, err error) {
	err = onThread(func() (err error) {
		if ns, err = netns.New(); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return ns, err
}

// within calls a function on a thread that is in a network namespace, as is what it starts.
func within(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return f()
	})
}

func up(h *netlink.Handle, name, addr string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	if err := h.AddrAdd(link, a); err != nil {
		return err
	}
	return h.LinkSetUp(link)
}

func (o *outside) close() {
	o.l.Close()
	o.ns.Close()
	if link, err := netlink.LinkByName(o.link); err == nil {
		netlink.LinkDel(link)
	}
}

// ownBuildpack is a tarball with a buildpack to Heroku's contract.
func ownBuildpack() []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	t := tar.NewWriter(z)
	for _, f := range []struct{ name, text string }{
		{"bin/detect", "#!/bin/sh\necho Own\n"},
		{"bin/compile", `#!/bin/sh
echo "-----> own buildpack says $(cat "$3/SECRET_OF_BUILD")"
mkdir -p "$1/.profile.d"
echo 'export FROM_PROFILE="from the buildpack"' > "$1/.profile.d/own.sh"
`},
		{"bin/release", "#!/bin/sh\necho '--- {}'\n"},
	} {
		t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.text)), ModTime: time.Unix(0, 0)})
		t.Write([]byte(f.text))
	}
	t.Close()
	z.Close()
	return buf.Bytes()
}

// probes are addresses on this machine that a dyno of p must not reach, each with
// somebody listening: the host's services and the platform's ground.
func probes(p *platform, ports ...int) ([]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	settings := seed.Settings{DataDir: p.Dir}
	var list []string
	add := func(ip string) {
		for _, port := range ports {
			if probe := fmt.Sprintf("%s:%d", ip, port); !slices.Contains(list, probe) {
				list = append(list, probe)
			}
		}
	}
	add(netip.MustParsePrefix(p.network).Addr().Next().String()) // the gateway, which is there while dynos are
	for _, link := range links {
		if passing.MatchString(link.Name) && link.Name != internet.link && !strings.HasPrefix(link.Name, oci.InterfacePrefix(settings.Name())) {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			ip := a.(*net.IPNet).IP
			if ip.To4() != nil && link.Flags&net.FlagLoopback == 0 {
				add(ip.String())
			}
		}
	}
	return append(list, "169.254.169.254:80"), nil
}

// passing are the interfaces of other platforms and of other copies of these tests. When a
// dyno tries their addresses they may be gone, and somebody on the internet may answer there.
var passing = regexp.MustCompile(`^(h[0-9a-f]{6}-|hoist-out)`)
