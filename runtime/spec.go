package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"time"

	"github.com/hoist-sh/hoist"
)

// Labels of a container, for people and for seed.
const (
	labelApp  = "hoist.app"
	labelDyno = "hoist.dyno"
)

// spec describes the dyno's container. It waits for the database and the blob
// store; an error is final.
func (s *supervisor) spec(ctx context.Context) (hoist.ContainerSpec, error) {
	d := s.dyno
	spec := hoist.ContainerSpec{
		ID: d.ID, Name: d.Name(), Command: d.Command, Size: sizeOf(d), Attach: d.Attach, TTY: d.TTY,
		Labels: map[string]string{labelApp: d.AppName, labelDyno: d.Name()},
	}
	if d.Kind == hoist.KindBuild {
		if s.r.cfg.BlobGate.IsValid() {
			spec.Egress = []netip.AddrPort{s.r.cfg.BlobGate}
		}
		spec.Env = map[string]string{"DYNO": d.Name()}
		maps.Copy(spec.Env, d.Env)
		return spec, nil
	}
	var config hoist.ConfigVars
	var slug hoist.Slug
	err := s.patiently(ctx, "release", func() (err error) {
		if d.ReleaseID != "" {
			config, slug, err = s.r.db.SlugOfRelease(ctx, d.ReleaseID)
		}
		return err
	})
	if err == nil && slug.ID != "" {
		err = s.patiently(ctx, "slug", func() (err error) {
			s.slug() // of an earlier start
			s.slug = func() {}
			var release func()
			if spec.SlugPath, release, err = s.r.slugs.get(ctx, slug); err == nil {
				s.slug, s.image = release, image{spec.SlugPath, slug.SHA256}
			}
			return err
		})
	}
	if err != nil {
		return spec, err
	}
	spec.Env = environment(d, config, slug, s.r.cfg.HTTPS)
	if serves(d) {
		spec.Port = webPort
	}
	return spec, nil
}

// environment is what a dyno of an app sees. The names are Heroku's dyno
// metadata under our own prefix
// (https://devcenter.heroku.com/articles/dyno-metadata). What serves requests
// is told of a port for https that is not the usual one.
func environment(d hoist.Dyno, config hoist.ConfigVars, slug hoist.Slug, https int) map[string]string {
	env := map[string]string{}
	maps.Copy(env, config)
	env["DYNO"] = d.Name()
	env["HOIST_APP_NAME"] = d.AppName
	env["HOIST_RELEASE_VERSION"] = fmt.Sprintf("v%d", d.Version)
	env["HOIST_SLUG_COMMIT"] = slug.Commit
	if serves(d) {
		env["PORT"] = strconv.Itoa(webPort)
		if https != 0 && https != 443 {
			env["HOIST_HTTPS_PORT"] = strconv.Itoa(https)
		}
	}
	maps.Copy(env, d.Env)
	return env
}

// patiently repeats f until it succeeds, says that what it wants is gone, or
// ctx ends: that the ground is away is not the app's fault.
func (s *supervisor) patiently(ctx context.Context, what string, f func() error) error {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := f()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, hoist.ErrNotFound) || errors.Is(err, errSlugLost) {
			return fmt.Errorf("%s: %w", what, err)
		}
		s.log.Warn("waits", "for", what+": "+err.Error())
		sleep(ctx, pause)
	}
}
