package router

import (
	"strings"

	"github.com/hoist-sh/hoist"
)

// hostName is a Host header's name as it is looked up: in lower case, without
// port, brackets and trailing dot. It allocates nothing for the usual ones.
func hostName(host string) string {
	if strings.HasPrefix(host, "[") { // IPv6
		if i := strings.IndexByte(host, ']'); i > 0 {
			return strings.ToLower(host[1:i])
		}
		return ""
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Types among the services that are no components: the blob store, and the
// server by which the seed sees that a router routes.
const (
	serviceBlobs = "blobs"
	serviceProof = "proof"
)

// platformHosts maps the platform's own host names to service types.
func platformHosts(domain string) map[string]string {
	hosts := map[string]string{domain: hoist.ComponentAPI}
	for _, service := range []string{hoist.ComponentAPI, hoist.ComponentGit, hoist.ComponentLogs, serviceBlobs, serviceProof} {
		hosts[service+"."+domain] = service
	}
	if domain == "localhost" { // the heroku CLI knows only these
		hosts["127.0.0.1"], hosts["::1"] = hoist.ComponentAPI, hoist.ComponentAPI
	}
	return hosts
}
