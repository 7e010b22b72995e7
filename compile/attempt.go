package compile

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

// attempt compiles the build once, in a dyno of its own. The error is of type
// *rejected if trying again would not help.
func (j *job) attempt(ctx context.Context) (hoist.Slug, error) {
	if j.build.Attempts > j.settings.Attempts {
		return hoist.Slug{}, errMachine // each worker that tried died of it
	}
	if err := j.buryPredecessors(ctx); err != nil {
		return hoist.Slug{}, err
	}
	j.greet()
	d, secret, err := j.startDyno(ctx)
	if err != nil {
		return hoist.Slug{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, j.settings.Placement+j.settings.Timeout+time.Minute, errTimeout)
	defer cancel()
	listener, err := j.awaitPlacement(ctx, d.ID)
	if err != nil {
		return hoist.Slug{}, err
	}
	started := time.Now()
	if err := j.follow(ctx, d.ID, listener, secret); err != nil {
		return hoist.Slug{}, err
	}
	d, err = j.awaitEnd(ctx, d.ID)
	if err != nil {
		return hoist.Slug{}, err
	}
	result, err := j.result(ctx, d, time.Since(started))
	if err != nil {
		return hoist.Slug{}, err
	}
	return j.takeSlug(ctx, result)
}

// buryPredecessors makes sure that no dyno of an earlier claim is at work: one
// that was handed over was no attempt, but had a dyno.
func (j *job) buryPredecessors(ctx context.Context) error {
	for deadline := time.Now().Add(45 * time.Second); j.stopDynos(ctx) > 0 && time.Now().Before(deadline); {
		if err := j.wait(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (j *job) greet() {
	if j.build.Attempts > 1 {
		j.out.say(fmt.Sprintf("\n-----> Starting the build again (attempt %d of %d)\n", j.build.Attempts, j.settings.Attempts))
		return
	}
	what := ""
	if v := j.build.SourceVersion; v != "" {
		what = " of " + v[:min(8, len(v))]
	}
	j.out.log("app", "api", "Build started"+what)
}

// prefix of the blobs that only this claim uses: whoever had the build before
// may still write to its own, or sweep it.
func (j *job) prefix() string { return buildPrefix(j.build.ID) + j.build.ClaimedBy + "/" }

func buildPrefix(id hoist.ID) string { return "builds/" + id + "/" }

// CacheKey is the blob of an app's build cache: what slug.Job keeps from build to build.
func CacheKey(app hoist.ID) string { return "caches/" + app }

// changesKey is what has changed in it since it was stored whole.
func changesKey(app hoist.ID) string { return CacheKey(app) + ".changes" }

// startDyno orders the build's dyno. All it knows are presigned URLs, which end
// with the build.
func (j *job) startDyno(ctx context.Context) (hoist.Dyno, string, error) {
	config, err := j.db.BuildConfig(ctx, j.build.AppID)
	if err != nil {
		return hoist.Dyno{}, "", err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return hoist.Dyno{}, "", err
	}
	if err := j.blobs.Put(ctx, j.prefix()+"env.json", strings.NewReader(string(text)), int64(len(text)), 1<<22); err != nil {
		return hoist.Dyno{}, "", fmt.Errorf("the blob store: %w", err)
	}
	env, err := j.environ(ctx)
	if err != nil {
		return hoist.Dyno{}, "", err
	}
	secret := hoist.NewSecret()
	hash := sha256.Sum256([]byte(secret))
	d := hoist.Dyno{
		ID: hoist.NewID(), Size: j.settings.Size, Command: "hoist-compile", Env: env,
		SecretHash: hash[:], Timeout: j.settings.Timeout,
	}
	if d.Number, err = j.db.StartBuildDyno(ctx, j.build, d); err != nil {
		if errors.Is(err, hoist.ErrConflict) || errors.Is(err, hoist.ErrNotFound) {
			err = errLost
		}
		return d, "", err
	}
	j.bus.Ring(hoist.BellFormation+j.build.AppID, nil)
	return d, secret, nil
}

func (j *job) environ(ctx context.Context) (map[string]string, error) {
	env := maps.Clone(j.settings.Env)
	if env == nil {
		env = map[string]string{}
	}
	ttl := j.settings.Placement + j.settings.Timeout + 30*time.Minute
	for name, blob := range map[string]struct{ method, key string }{
		slug.EnvSource:     {"GET", j.build.SourceKey},
		slug.EnvConfig:     {"GET", j.prefix() + "env.json"},
		slug.EnvCacheGet:   {"GET", CacheKey(j.build.AppID)},
		slug.EnvCachePut:   {"PUT", CacheKey(j.build.AppID)},
		slug.EnvChangesGet: {"GET", changesKey(j.build.AppID)},
		slug.EnvChangesPut: {"PUT", changesKey(j.build.AppID)},
		slug.EnvSlug:       {"PUT", j.prefix() + "slug.squashfs"},
		slug.EnvResult:     {"PUT", j.prefix() + "result.json"},
	} {
		if blob.key == "" {
			continue
		}
		url, err := j.blobs.Presign(ctx, blob.method, blob.key, ttl, hoist.FromDyno)
		if err != nil {
			return nil, fmt.Errorf("the blob store: %w", err)
		}
		env[name] = url
	}
	if j.build.SourceKey == "" {
		env[slug.EnvSource] = j.build.SourceURL
	}
	var packs []string
	for _, p := range j.build.Buildpacks {
		packs = append(packs, p.URL)
	}
	if len(packs) > 0 {
		text, err := json.Marshal(packs)
		if err != nil {
			return nil, err
		}
		env[slug.EnvBuildpacks] = string(text)
	}
	env[slug.EnvChecksum] = j.build.SourceChecksum
	env["STACK"] = j.build.Stack
	env["SOURCE_VERSION"] = j.build.SourceVersion
	env["REQUEST_ID"] = j.build.ID
	return env, nil
}

// awaitPlacement waits for a runtime to take the dyno.
func (j *job) awaitPlacement(ctx context.Context, id hoist.ID) (listener string, err error) {
	started, said := time.Now(), false
	for {
		d, listener, err := j.db.BuildDyno(ctx, id)
		switch {
		case errors.Is(err, hoist.ErrNotFound), err == nil && d.State == hoist.DynoDown:
			return "", fmt.Errorf("%w: %s", errMachine, d.Reason)
		case err == nil && listener != "":
			return listener, nil
		case time.Since(started) > j.settings.Placement:
			return "", &rejected{reason: "No machine of the platform had room for the build. Please push again later."}
		case time.Since(started) > 5*time.Second && !said:
			said = true
			j.out.say("-----> Waiting for a machine with room for the build\n")
		}
		if err := j.wait(ctx); err != nil {
			return "", err
		}
	}
}

// follow shows the dyno's output until its end.
func (j *job) follow(ctx context.Context, id hoist.ID, listener, secret string) error {
	var conn io.ReadWriteCloser
	for {
		var err error
		if conn, err = j.dial(ctx, listener, secret); err == nil {
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d, now, dbErr := j.db.BuildDyno(ctx, id)
		if errors.Is(dbErr, hoist.ErrNotFound) || dbErr == nil && d.State == hoist.DynoDown {
			return nil // its row says how it ended
		}
		if dbErr == nil && now != "" {
			listener = now // that of a runtime which was started again
		}
		j.log.Warn("build dyno does not answer", "build", j.build.ID, "error", err)
		if err := j.wait(ctx); err != nil {
			return err
		}
	}
	defer conn.Close() // which hangs the dyno up
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err := io.Copy(j.out, conn)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		j.log.Warn("build output broke off", "build", j.build.ID, "error", err)
	}
	return nil
}

// awaitEnd waits for the runtime to write down how the dyno ended.
func (j *job) awaitEnd(ctx context.Context, id hoist.ID) (hoist.Dyno, error) {
	for deadline := time.Now().Add(j.settings.Lease); time.Now().Before(deadline); {
		d, _, err := j.db.BuildDyno(ctx, id)
		switch {
		case errors.Is(err, hoist.ErrNotFound):
			return d, errMachine
		case err == nil && (d.State == hoist.DynoDown || d.State == hoist.DynoCrashed):
			return d, nil
		}
		if err := j.wait(ctx); err != nil {
			return d, err
		}
	}
	return hoist.Dyno{}, errMachine
}
