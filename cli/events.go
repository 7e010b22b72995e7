package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
)

// readEvents reads server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html) and calls
// data for the data of each, alive for every sign of life. It returns the id
// of the last whole event, or lastID if there was none.
func readEvents(r io.Reader, lastID string, alive func(), data func(string)) (string, error) {
	id, text, some := lastID, "", false
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return lastID, nil // an event without its empty line is no event
		}
		if err != nil {
			return lastID, err
		}
		alive()
		line = strings.TrimRight(line, "\r\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if some {
				data(text)
			}
			lastID, text, some = id, "", false
		case field == "id":
			id = value
		case field == "data" && some:
			text += "\n" + value
		case field == "data":
			text, some = value, true
		}
	}
}

// jsonText is a string in JSON.
func jsonText(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}
