package seed

import (
	"testing"
)

func TestTheStageIsThatOfTheSlugThatShallRun(t *testing.T) {
	y := bareSystem(t)
	shown := func(slug string) (int, bool) {
		y.show(&desired{Version: 9, Commit: "c0ffee", Slug: slug}, true)
		return y.status().Stage, y.status().Beyond
	}
	if stage, beyond := shown("one"); stage != 0 || beyond {
		t.Errorf("without dynos: %d, %v", stage, beyond)
	}
	y.dynos["1"] = &systemDyno{}
	if stage, beyond := shown("one"); stage != 1 || beyond {
		t.Errorf("without a bootstrap: %d, %v", stage, beyond)
	}
	stages := []Stage{{Number: 1, Slug: "one"}, {Number: 2, Slug: "same"}, {Number: 3, Slug: "same"}}
	for _, c := range []struct {
		noted  int
		slug   string
		stage  int
		beyond bool
	}{{1, "one", 1, false}, {2, "same", 2, false}, {3, "same", 3, false}, {3, "one", 1, false}, // rolled back
		{3, "pushed later", 3, true}, {1, "pushed later", 1, true}, {3, "", 3, false}} {
		if err := SaveStages(y.seed.cfg.Settings, stages[:c.noted]); err != nil {
			t.Fatal(err)
		}
		if stage, beyond := shown(c.slug); stage != c.stage || beyond != c.beyond {
			t.Errorf("%q with %d stages noted: %d, %v", c.slug, c.noted, stage, beyond)
		}
	}
	if st := y.status(); st.Commit != "c0ffee" {
		t.Errorf("commit %q", st.Commit)
	}
}
