package router

import (
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestOneAppsWaitingRequestsAreNotInTheWayOfOthers(t *testing.T) {
	now := newTable("test")
	next := func(change func(*table)) {
		n := now.next()
		change(n)
		n.index()
		now = n
	}
	next(func(n *table) {
		n.setApp(hoist.Route{AppID: "1", Name: "one", Web: 1})
		n.setApp(hoist.Route{AppID: "2", Name: "two", Web: 1})
		n.setServices(nil)
	})
	full := func(host string) {
		for now.lookup(host, "/").room.enter() {
		}
	}
	reach := func(host string) *failure {
		var published atomic.Pointer[table]
		published.Store(now)
		p := &proxy{table: &published} // there is no time to wait
		v := &visit{p: p, r: httptest.NewRequest("GET", "http://"+host+"/", nil), gone: func() bool { return false }}
		_, fail := v.reach()
		return fail
	}
	full("one.test")
	// They still wait when there are other routes.
	next(func(n *table) { n.setApp(hoist.Route{AppID: "1", Name: "one", Web: 2}) })
	if n := now.waiting(); n != roomForOne || reach("one.test") != failBacklog || reach("two.test") != failBoot {
		t.Error(n, reach("one.test"), reach("two.test"))
	}
	full("git.test")
	next(func(n *table) { n.setServices([]hoist.Service{{Type: hoist.ComponentAPI, Address: "127.0.0.1:1"}}) })
	for now.room.enter() {
	}
	if reach("two.test") != failBacklog || reach("git.test") != failBacklog || reach("logs.test") != failPlatform {
		t.Error(reach("two.test"), reach("git.test"), reach("logs.test"))
	}
	if n := now.waiting(); n != roomForAll+roomForOne {
		t.Error(n, "wait")
	}
}
