package schematest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Report is what exchanges covered of the schema and what was wrong with them.
type Report struct {
	Links     int            `json:"links"` // in the schema
	Exchanges int            `json:"exchanges"`
	Covered   map[string]int `json:"covered"` // by the name of the link
	Wrong     []string       `json:"wrong"`
}

func (r Report) String() string {
	return fmt.Sprintf("covered %d of %d links in %d exchanges, %d of them wrong", len(r.Covered), r.Links, r.Exchanges, len(r.Wrong))
}

// WriteFile adds the report to the one in a file, if there is one.
func (r Report) WriteFile(name string) error {
	merged, err := ReadFiles(name)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	merged.add(r)
	text, err := json.MarshalIndent(merged, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// ReadFiles reads reports and adds them up.
func ReadFiles(names ...string) (Report, error) {
	var sum Report
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return sum, err
		}
		var r Report
		if err := json.Unmarshal(text, &r); err != nil {
			return sum, fmt.Errorf("%s: %w", name, err)
		}
		sum.add(r)
	}
	return sum, nil
}

func (r *Report) add(other Report) {
	if r.Covered == nil {
		r.Covered = map[string]int{}
	}
	r.Links = max(r.Links, other.Links)
	r.Exchanges += other.Exchanges
	for name, n := range other.Covered {
		r.Covered[name] += n
	}
	r.Wrong = slices.Concat(r.Wrong, other.Wrong)
}
