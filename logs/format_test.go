package logs

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

var stamp = time.Date(2011, 9, 18, 13, 20, 0, 123456789, time.UTC)

func TestFormatIsHerokus(t *testing.T) {
	for _, c := range []struct {
		name string
		line hoist.LogLine
		want string
	}{
		{"a dyno's line", hoist.LogLine{Time: stamp, Source: "app", Dyno: "web.1", Text: "hello"},
			"2011-09-18T13:20:00.123456+00:00 app[web.1]: hello"},
		{"another zone becomes UTC", hoist.LogLine{Time: stamp.In(time.FixedZone("", 7200)), Source: "heroku", Dyno: "router", Text: "at=info"},
			"2011-09-18T13:20:00.123456+00:00 heroku[router]: at=info"},
		{"an empty line", hoist.LogLine{Time: stamp, Source: "app", Dyno: "web.1"},
			"2011-09-18T13:20:00.123456+00:00 app[web.1]: "},
		{"a whole second has its zeros", hoist.LogLine{Time: stamp.Truncate(time.Second), Source: "app", Dyno: "api", Text: "x"},
			"2011-09-18T13:20:00.000000+00:00 app[api]: x"},
		{"a dyno cannot forge lines", hoist.LogLine{Time: stamp, Source: "app", Dyno: "web.1", Text: "50%\r60%\nheroku[router]: x\r\n"},
			"2011-09-18T13:20:00.123456+00:00 app[web.1]: 50% 60% heroku[router]: x"},
		{"bytes that are no text", hoist.LogLine{Time: stamp, Source: "app", Dyno: "web.1", Text: "a\xffb"},
			"2011-09-18T13:20:00.123456+00:00 app[web.1]: a\uFFFDb"},
	} {
		if got := Format(c.line); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
}

func TestParseRefusesWhatIsNoLine(t *testing.T) {
	for _, s := range []string{"", "hello", "2011-09-18T13:20:00.123456+00:00", "2011-09-18T13:20:00.123456+00:00 app: x",
		"2011-09-18 app[web.1]: x", "2011-09-18T13:20:00.123456+00:00 [web.1]: x", "2011-09-18T13:20:00.123456+00:00 app[]: x"} {
		if l, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %+v", s, l)
		}
	}
}

func FuzzFormatAndParse(f *testing.F) {
	f.Add("2011-09-18T13:20:00.123456+00:00 app[web.1]: hello", "text\r\nmore")
	f.Add("2011-09-18T13:20:00.123456+00:00 heroku[router]: at=info ]: x[y]: ", "]: ")
	f.Add("", "\x00\xff")
	f.Fuzz(func(t *testing.T, s, text string) {
		if l, err := Parse(s); err == nil {
			again, err := Parse(Format(l))
			if err != nil {
				t.Fatalf("Parse(%q) = %+v, but not again: %v", s, l, err)
			}
			if again.Source != l.Source || again.Dyno != l.Dyno || !again.Time.Equal(l.Time.Truncate(time.Microsecond)) {
				t.Fatalf("%+v became %+v", l, again)
			}
		}
		line := Format(hoist.LogLine{Time: stamp, Source: "app", Dyno: "web.1", Text: text})
		if strings.ContainsAny(line, "\r\n") {
			t.Fatalf("%q has more than one line", line)
		}
		if _, err := Parse(line); err != nil {
			t.Fatalf("cannot parse %q", line)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("12-1316352000123456789")
	f.Add("-")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseCursor(s)
		if !ok {
			return
		}
		if again, ok := parseCursor(c.String()); !ok || again.seq != c.seq || !again.time.Equal(c.time) {
			t.Fatalf("%q became %v, %v", s, again, ok)
		}
	})
}

func TestCursorKnowsMessagesOfANewStream(t *testing.T) {
	c := cursor{100, stamp}
	for _, m := range []struct {
		name string
		m    hoist.Message
		seen bool
	}{
		{"itself", hoist.Message{Seq: 100, Time: stamp}, true},
		{"one before", hoist.Message{Seq: 99, Time: stamp.Add(-1)}, true},
		{"one after", hoist.Message{Seq: 101, Time: stamp}, false},
		{"a number given again after a power cut", hoist.Message{Seq: 98, Time: stamp.Add(1)}, false},
	} {
		if c.seen(m.m) != m.seen {
			t.Error(m.name)
		}
	}
}

// The bus lost its end, and its clock was set back.
func TestAReaderGetsWhatHasNumbersAndTimesThatWereThereBefore(t *testing.T) {
	p := place{cursor: cursor{100, stamp}}
	line, err := json.Marshal(hoist.LogLine{Time: stamp, Source: "app", Dyno: "web.1", Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	shown := ""
	for _, m := range []hoist.Message{{Seq: 99, Time: stamp.Add(-1)}, {Seq: 100, Time: stamp}, // the history
		{Seq: 96, Time: stamp.Add(-time.Hour)}, {Seq: 97, Time: stamp.Add(-time.Hour)}} {
		m.Data = line
		for _, e := range p.take(m) {
			shown += fmt.Sprint(e.at.seq, " ")
		}
	}
	if shown != "96 97 " {
		t.Error(shown)
	}
}

func TestFilterByTypeDoesNotMatchOtherTypes(t *testing.T) {
	for _, c := range []struct {
		f     filter
		dyno  string
		match bool
	}{
		{filter{}, "web.1", true},
		{filter{dyno: "web"}, "web.1", true},
		{filter{dyno: "web"}, "website.1", false},
		{filter{dyno: "web.1"}, "web.1", true},
		{filter{dyno: "web.1"}, "web.10", false},
		{filter{dyno: "router"}, "router", true},
		{filter{source: "heroku"}, "web.1", false},
		{filter{source: "app"}, "web.1", true},
	} {
		if c.f.match(hoist.LogLine{Source: "app", Dyno: c.dyno}) != c.match {
			t.Errorf("%+v on %s: want %v", c.f, c.dyno, c.match)
		}
	}
}

func TestASlowReaderIsToldHowMuchItMissed(t *testing.T) {
	b := newBacklog()
	long := strings.Repeat("x", 1000)
	for i := range 3000 {
		at := cursor{uint64(i + 1), stamp}
		b.add([]entry{{at: at, text: long}}, at)
	}
	got, _ := b.take(t.Context(), nil)
	missed := 3000 - (len(got) - 1)
	if missed < 1 || len(got[1].text) != 1000 || got[len(got)-1].at.seq != 3000 {
		t.Fatalf("%d lines", len(got))
	}
	want := Format(hoist.LogLine{Time: stamp, Source: "heroku", Dyno: "logs", Text: "Error L11 (Tail buffer overflow) -> This reader was too slow and missed 1952 lines since 2011-09-18T13:20:00.123456+00:00."})
	if got[0].text != want || got[0].at != (cursor{}) {
		t.Errorf("%v\nwant\n%s", got[0], want)
	}
	b.add([]entry{missing(stamp, 100, stamp)}, cursor{3101, stamp}) // from the bus
	for i := range 2000 {
		at := cursor{uint64(i + 3102), stamp}
		b.add([]entry{{at: at, text: long}}, at)
	}
	got, _ = b.take(t.Context(), nil)
	if want := fmt.Sprintf("and missed %d lines since", 100+2000-(len(got)-1)); !strings.Contains(got[0].text, want) {
		t.Errorf("%v, not %q", got[0], want)
	}
	b.add([]entry{{text: "y"}}, cursor{5102, stamp})
	if got, _ := b.take(t.Context(), nil); len(got) != 1 {
		t.Error("told twice")
	}
}

func TestAReaderWhoGetsNothingKnowsWhereItIs(t *testing.T) {
	b := newBacklog()
	at := cursor{7, stamp}
	b.add(nil, at) // hidden by a filter
	tick := make(chan time.Time, 1)
	tick <- stamp
	if got, place := b.take(t.Context(), tick); len(got) != 0 || place != at {
		t.Errorf("%v, %v", got, place)
	}
}
