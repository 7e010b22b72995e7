package seed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// crash has a dyno of a release end by itself that had run for a while.
func (y *system) crash(t *testing.T, of *desired, name string, ran time.Duration, exit hoist.Exit) {
	t.Helper()
	typ, _, _ := strings.Cut(name, ".")
	d := &systemDyno{since: time.Now().Add(-ran), ended: make(chan hoist.Exit, 1)}
	d.Dyno = hoist.Dyno{ID: hoist.NewID(), AppID: of.AppID, ReleaseID: of.code().ReleaseID, Version: of.Version, Type: typ, Number: 1}
	for _, line := range []string{"level=INFO msg=ready", "panic: sabotaged", "", "goroutine 1 [running]:", "main.main()"} {
		systemOutput{y, d}.Line(hoist.Place{}, []byte(line))
	}
	y.dynos[d.ID], y.state.Proven[d.ID] = d, true
	d.ended <- exit
	y.reap(t.Context())
}

// upgraded is a system whose release v2 was called good a moment ago, after v1.
func upgraded(t *testing.T) *system {
	y, _ := withEngine(t)
	y.proven(t, 1)
	y.proven(t, 2)
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return y
}

var panics = hoist.Exit{Code: 2}

func TestAReleaseThatDoesNotLastGivesWayToTheOneBefore(t *testing.T) {
	y := upgraded(t)
	two := y.state.Next
	for n := range maxCrashes {
		if y.lasts(true); y.state.Failed["r2"] != "" || y.state.wanted() != two {
			t.Fatalf("given up after %d crashes", n)
		}
		y.crash(t, two, "api.1", 10*time.Second, panics)
	}
	y.lasts(true)
	want := y.state.wanted()
	if want == nil || want.ReleaseID != "r1" || want.Formation["api"].Quantity != 2 {
		t.Fatalf("it wants %+v: the code of v1 with the quantities of now", want)
	}
	why := y.state.Failed["r2"]
	for _, part := range []string{"Release v2 did not last: api.1: it crashed 3 times in ", "status 2 (its last words: panic: sabotaged)", "goes on with v1."} {
		if !strings.Contains(why, part) {
			t.Errorf("%q lacks %q", why, part)
		}
	}
	if y.startAt["api"].After(time.Now()) {
		t.Error("the one before is not started at once")
	}
	if y.show(want, false); y.status().Failed != why || y.status().Good != 1 {
		t.Errorf("the status is %+v", y.status())
	}
	// The rollback in the database: what runs of v1 runs on, and the reason stays to be seen.
	y.state.Same["r3"] = rolledBack{y.state.Good.code(), why}
	three := *want
	three.ReleaseID, three.Version, three.As = "r3", 3, &sameAs{"r1", 1}
	y.state.Next = &three
	y.state.forget()
	if y.show(&three, true); y.status().Because != why || !y.state.good(&three) {
		t.Errorf("the status is %+v", y.status())
	}
	for range maxCrashes { // there is nothing before it
		y.crash(t, &three, "api.1", 10*time.Second, panics)
		y.lasts(true)
	}
	if y.state.Failed["r3"] != "" {
		t.Error(y.state.Failed)
	}
	if _, err := y.rollback(2); err == nil {
		t.Error("v2 is still taken for good")
	}
}

func TestNotEveryCrashIsTheReleases(t *testing.T) {
	for _, c := range []struct {
		what string
		good bool // it stays so
		with func(y *system)
		ran  time.Duration
		exit hoist.Exit
		away bool // the ground, once
	}{
		{"one after the other", false, nil, time.Second, panics, false},
		{"out of its own memory", false, nil, time.Second, hoist.Exit{Code: 137, OOM: true}, false},
		{"each ran for a while", true, nil, steady + time.Second, panics, false},
		{"killed by others", true, nil, time.Second, hoist.Exit{Code: 137}, false},
		{"nobody knows how it ended", true, nil, time.Second, hoist.Exit{Code: -1}, false},
		{"the ground was away", true, nil, time.Second, panics, true},
		{"it is no longer young", true, func(y *system) { y.state.History[1].At = time.Now().Add(-youth - time.Second) }, time.Second, panics, false},
		{"it was good before, and only scaled now", true, func(y *system) {
			y.state.History[1].At = time.Now().Add(-youth - time.Second)
			y.state.remember(y.state.Next, time.Now())
		}, time.Second, panics, false},
		{"there was none before", true, func(y *system) { y.state.History = y.state.History[1:] }, time.Second, panics, false},
		{"another one is on trial", true, func(y *system) { y.state.Next = &desired{ReleaseID: "r3", Version: 3} }, time.Second, panics, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			y := upgraded(t)
			two := y.state.Next
			if c.with != nil {
				c.with(y)
			}
			for n := range maxCrashes {
				y.crash(t, two, "router.1", c.ran, c.exit)
				y.lasts(!c.away || n != 1)
			}
			if good := y.state.good(two); good != c.good || good != (len(y.state.Failed) == 0) {
				t.Errorf("good: %v, given up: %v", good, y.state.Failed)
			}
		})
	}
}

// Two parts that crash once are no part that crashes twice.
func TestARowIsOfOneDyno(t *testing.T) {
	y := upgraded(t)
	for _, name := range []string{"api.1", "git.1", "router.1", "logs.1", "compile.1", "api.1"} {
		y.crash(t, y.state.Next, name, time.Second, panics)
		y.lasts(true)
	}
	for range maxCrashes { // nor is one of the release before
		y.crash(t, &y.state.History[0].desired, "router.1", time.Second, panics)
		y.lasts(true)
	}
	if len(y.state.Failed) > 0 {
		t.Error(y.state.Failed)
	}
}

// It was let in, and the platform as a whole has not proved itself yet.
func TestAReleaseThatCrashesOnceLetInIsGivenUp(t *testing.T) {
	y, _ := withEngine(t)
	next := y.onTrial(t)
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range maxCrashes {
		y.crash(t, next, "router.1", time.Second, panics)
		y.lasts(true)
	}
	if why := y.state.Failed["next"]; !strings.HasPrefix(why, "Release v2 did not prove itself: router.1: it crashed 3 times") {
		t.Errorf("%q", why)
	}
	if y.state.Good == nil || y.state.Good.Version != 1 {
		t.Errorf("%+v", y.state.Good)
	}
}

// The seed is replaced when a release is good, and so while it is young.
func TestTheNextSeedKnowsThatAReleaseIsYoung(t *testing.T) {
	old := upgraded(t)
	old.write()
	y, _ := withEngine(t)
	y.seed.cfg.DataDir = old.seed.cfg.DataDir
	text, err := os.ReadFile(y.file())
	if err != nil || json.Unmarshal(text, &y.state) != nil {
		t.Fatal(err, string(text))
	}
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(y.slugFile("*"))
	for _, path := range files {
		os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour))
	}
	y.collectSlugs()
	for range maxCrashes {
		y.crash(t, y.state.Next, "git.1", time.Second, panics)
		y.lasts(true)
	}
	want := y.state.wanted()
	if want.Version != 1 {
		t.Fatalf("it wants v%d", want.Version)
	}
	if err := y.whole(want.Slug); err != nil {
		t.Error(err)
	}
}
