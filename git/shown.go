package git

import (
	"encoding/json"
	"strings"

	"github.com/hoist-sh/hoist"
)

// shown is what the client has seen of a build's output.
type shown struct {
	say   func(text string)
	text  strings.Builder // its first outputKept bytes
	ended bool            // the stream's last message came
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
	if s.text.Len() < outputKept {
		s.text.WriteString(text)
	}
}

// rest shows what did not come through the stream: the end of the output, as
// far as it goes on from what was shown, and the error.
func (s *shown) rest(output, errText string) {
	if more, ok := strings.CutPrefix(output, s.text.String()); ok {
		s.write(more)
	}
	if errText != "" && !strings.Contains(s.text.String(), firstLine(errText)) {
		s.write("\n" + bang(errText))
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
