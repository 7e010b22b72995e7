package git

import (
	"encoding/json"
	"strings"

	"github.com/hoist-sh/hoist"
)

// shown is what the client has seen of a build's output.
type shown struct {
	say   func(text string)
	text  []byte // its last outputKept bytes, or some more
	ended bool   // the stream's last message came
}

// chunk shows a message of the stream and reports whether it was the last.
func (s *shown) chunk(data []byte) (last bool) {
	var c hoist.BuildChunk
	if json.Unmarshal(data, &c) != nil {
		return false
	}
	s.write(c.Text)
	s.ended = s.ended || c.End != ""
	return c.End != ""
}

func (s *shown) write(text string) {
	if text == "" {
		return
	}
	s.say(text)
	s.text = append(s.text, text...)
	if len(s.text) > 2*outputKept {
		s.text = append(s.text[:0], s.text[len(s.text)-outputKept:]...)
	}
}

// rest shows what did not come through the stream: the end of the output and
// the error.
func (s *shown) rest(output, errText string) {
	s.write(hoist.Rest(string(s.text), output))
	if errText != "" && !strings.Contains(string(s.text), firstLine(errText)) {
		s.write("\n" + bang(errText))
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
