package compile_test

import (
	"context"
	"encoding/json"

	"github.com/hoist-sh/hoist"
)

// deaf is a bus that loses every bell.
type deaf struct{ hoist.Bus }

func (deaf) Ring(string, []byte) {}

// messages are what a stream has now.
func (w *world) messages(reader hoist.Bus, subject string) (all [][]byte) {
	w.t.Helper()
	messages, err := reader.Tail(context.Background(), subject, false)
	if err != nil {
		w.t.Fatal(err)
	}
	for m := range messages {
		all = append(all, m.Data)
	}
	return all
}

// output is a build's stream: its text, and how it ended.
func (w *world) output(id hoist.ID) (text string, end hoist.BuildState) {
	w.t.Helper()
	for _, m := range w.messages(w.git, hoist.StreamBuilds+id) {
		var c hoist.BuildChunk
		json.Unmarshal(m, &c)
		text += c.Text
		if c.End != "" {
			end = c.End
		}
	}
	return text, end
}

// appLog is the app's log.
func (w *world) appLog() (lines []hoist.LogLine) {
	w.t.Helper()
	for _, m := range w.messages(w.logs, hoist.StreamLogs+w.app) {
		var l hoist.LogLine
		json.Unmarshal(m, &l)
		lines = append(lines, l)
	}
	return lines
}
