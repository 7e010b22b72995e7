// Package oci runs containers: it implements hoist.Engine by an OCI runtime
// (crun, or runc), the kernel's own interfaces, and nothing that stays in
// memory but the containers themselves.
//
// # Anatomy of a container
//
// Its root is the stack, read-only and the same for all: the host's own /usr
// and friends with an /etc made of the harmless parts of the host's, or a root file
// system of its own. /app is the slug, a squashfs image, under a writable layer; that
// layer and /tmp are on the dyno's disk, an ext4 image of bounded size. The
// command runs as user dyno (1000) in a user namespace with ids no other
// container has, with no capability, no way to get one, and a filter of system
// calls; first in its PID namespace, started by bash as Heroku starts it.
//
// A container is made in two steps. Prepared, it has everything that does not depend on
// what will run in it, and its process waits at a gate. Admitted, it gets the slug, the
// limits and a letter with its environment and command. Some are kept prepared.
//
// The container's network namespace has one end of a veth pair. The host's end
// is a route to one address; there is no bridge. The engine's nftables table
// lets a dyno reach the internet and be reached by the host, and no more.
//
// # Who holds what
//
// The supervisor works in a private mount namespace (Isolate) and unmounts what it
// mounted for a container as soon as the runtime has made it. From then on
// the mounts, loop devices and interfaces hang on the container's own
// namespaces, and go with its last process, whatever becomes of the supervisor.
//
// Output goes to a named pipe that the container itself keeps open, so that it
// outlives its supervisor. What a new Engine on the same directory cannot know is how
// a container ended when no Engine ran: its exit code is -1, and what it wrote last
// and nobody read is lost. The code of one that is running when the new Engine comes
// is known on Linux 6.15 and later. Attached containers have nobody to talk to
// any more and are ended.
//
// In Dir, containers/ID has the record, the disk, the pipe and the bundle, spares the
// same of those that are only prepared; run is the
// runtime's own state. All else is on a tmpfs at /run/hoist-NAME that only
// the supervisor sees.
package oci
