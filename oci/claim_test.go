package oci_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

func TestOverlappingNetworksAreRefused(t *testing.T) {
	first, second := config(t), config(t)
	e := adopt(t, first)
	beside := adopt(t, second) // has a network of its own
	if err := beside.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, overlapping := range []netip.Prefix{first.Network, netip.PrefixFrom(first.Network.Addr(), 26), netip.PrefixFrom(first.Network.Addr(), 20).Masked()} {
		second.Network = overlapping
		_, err := oci.New(second)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s of engine %q", first.Network, first.Name)) {
			t.Errorf("%s beside %s: %v", overlapping, first.Network, err)
		}
	}
	if err := e.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.Network = first.Network
	adopt(t, second) // now that nobody has it any more
}

func TestTheNetworkOfAKilledEngineIsItsDynosOwn(t *testing.T) {
	first, second := config(t), config(t)
	s := spec("echo up; sleep 100")
	s.Labels = map[string]string{"watch": "yes"}
	superviseAndKill(t, supervised{first, []hoist.ContainerSpec{s}}, "line up")
	second.Network = first.Network
	if _, err := oci.New(second); err == nil || !strings.Contains(err.Error(), first.Name) {
		t.Errorf("beside its dynos: %v", err)
	}
	if err := adopt(t, first).Teardown(t.Context()); err != nil { // the same one may come back
		t.Fatal(err)
	}
	adopt(t, second)
}
