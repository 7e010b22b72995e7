package logs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// world is the component on a real database and a real bus.
type world struct {
	t    *testing.T
	db   *postgres.DB // as api
	nats *natstest.Server
	bus  hoist.Bus // as runtime, which appends
	url  string
	app  hoist.ID
	srv  *Server
	stop func()
}

func newWorld(t *testing.T, change ...func(*Server)) *world {
	t.Helper()
	db, roles := postgrestest.New(t)
	n := natstest.New(t)
	if err := n.Bus("seed").EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, nats: n, bus: n.Bus(hoist.ComponentRuntime), url: "http://" + l.Addr().String(), app: hoist.NewID()}
	w.srv = New(l, roles.Open(hoist.ComponentLogs), n.Bus(hoist.ComponentLogs), 0, natstest.Log(t))
	w.srv.keepAlive = 50 * time.Millisecond
	w.srv.recheck = 50 * time.Millisecond
	for _, f := range change {
		f(w.srv)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.srv.Run(ctx) }()
	w.stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("does not end")
		}
	}
	t.Cleanup(func() { cancel() })
	account := hoist.NewID()
	w.exec(`INSERT INTO accounts (id, email) VALUES ($1, 'a@example.com')`, account)
	w.exec(`INSERT INTO apps (id, name, owner_id, stack, region) VALUES ($1, 'demo', $2, 'stack', 'here')`, w.app, account)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// session makes a log session and returns its token.
func (w *world) session(s hoist.LogSession, good time.Duration) string {
	w.t.Helper()
	token := hoist.NewSecret()
	hash := sha256.Sum256([]byte(token))
	w.exec(`INSERT INTO log_sessions (id, app_id, token_hash, lines, tail, source, dyno, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval)`,
		hoist.NewID(), w.app, hash[:], s.Lines, s.Tail, s.Source, s.Dyno, good)
	return token
}

func (w *world) append(dyno, format string, args ...any) {
	w.t.Helper()
	b, _ := json.Marshal(hoist.LogLine{Time: time.Now(), Source: source(dyno), Dyno: dyno, Text: fmt.Sprintf(format, args...)})
	for deadline := time.Now().Add(20 * time.Second); !w.bus.Append(hoist.StreamLogs+w.app, b); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the bus takes nothing")
		}
	}
}

func source(dyno string) string {
	if dyno == "router" {
		return "heroku"
	}
	return "app"
}

func (w *world) flush() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if err := w.bus.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// open requests a stream; headers are pairs.
func (w *world) open(token string, headers ...string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), "GET", w.url+"/streams/"+token+"?tail=true&srv=1", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	return res
}

// texts returns the messages of a plain answer.
func texts(t *testing.T, body io.Reader) []string {
	t.Helper()
	var got []string
	for s := bufio.NewScanner(body); s.Scan(); {
		l, err := Parse(s.Text())
		if err != nil {
			t.Errorf("%q: %v", s.Text(), err)
		}
		got = append(got, l.Text)
	}
	return got
}

// events reads server-sent events in the background.
type events struct {
	data chan string
	id   string // of the last one taken
	ids  chan string
}

func readEvents(body io.Reader) *events {
	e := &events{data: make(chan string, 10000), ids: make(chan string, 10000)}
	go func() {
		defer close(e.data)
		id := ""
		for s := bufio.NewScanner(body); s.Scan(); {
			if v, ok := strings.CutPrefix(s.Text(), "id: "); ok {
				id = v
			} else if v, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				e.ids <- id
				e.data <- v
			} else if v, ok := strings.CutPrefix(s.Text(), ": "); ok && strings.HasPrefix(v, "waiting") {
				e.ids <- id
				e.data <- v
			}
		}
	}()
	return e
}

func (e *events) next(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-e.data:
		if !ok {
			t.Fatal("the stream ended")
		}
		e.id = <-e.ids
		if l, err := Parse(line); err == nil {
			return l.Text
		}
		return line
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
	}
	return ""
}

func (e *events) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		for {
			got := e.next(t)
			if strings.HasPrefix(got, "waiting") && !strings.HasPrefix(w, "waiting") {
				continue
			}
			if got != w {
				t.Fatalf("got %q, want %q", got, w)
			}
			break
		}
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.append("web.1", "one")
	for i := range 20 {
		w.append("web.2", "loud %d", i)
	}
	w.append("router", "at=info")
	w.bus.Append(hoist.StreamLogs+w.app, []byte("no JSON"))
	w.bus.Append(hoist.StreamLogs+w.app, []byte(`{"m":"from nowhere"}`))
	w.append("web.1", "two")
	w.append("website.1", "three")
	w.flush()
	for _, c := range []struct {
		name    string
		session hoist.LogSession
		want    string
	}{
		{"the last lines, in order", hoist.LogSession{Lines: 4}, "loud 19|at=info|two|three"},
		{"of a dyno, behind a loud one", hoist.LogSession{Lines: 2, Dyno: "web.1"}, "one|two"},
		{"of a type, but not of others that begin so", hoist.LogSession{Lines: 2, Dyno: "web"}, "loud 19|two"},
		{"of a source", hoist.LogSession{Lines: 5, Source: "heroku"}, "at=info"},
		{"none", hoist.LogSession{Lines: 0}, ""},
	} {
		res := w.open(w.session(c.session, time.Minute))
		if got := strings.Join(texts(t, res.Body), "|"); got != c.want || res.StatusCode != 200 {
			t.Errorf("%s: %s %q, want %q", c.name, res.Status, got, c.want)
		}
	}

	token := w.session(hoist.LogSession{Lines: 1}, time.Minute)
	res := w.open(token, "Accept", "text/event-stream")
	body, _ := io.ReadAll(res.Body)
	if s := string(body); res.Header.Get("Content-Type") != "text/event-stream" ||
		!strings.HasPrefix(s, "id: ") || !strings.Contains(s, "\ndata: ") || !strings.HasSuffix(s, " app[website.1]: three\n\n") {
		t.Errorf("events: %q", s)
	}
}

func TestUnknownAndExpiredTokensAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, token := range []string{"x", hoist.NewSecret(), w.session(hoist.LogSession{Lines: 1}, -time.Second)} {
		res := w.open(token)
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 404 || !strings.Contains(string(body), "expired") {
			t.Errorf("%s: %s %s", token, res.Status, body)
		}
	}
}

func TestATailGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t)
	w.append("web.1", "old")
	w.append("web.1", "history")
	w.flush()
	token := w.session(hoist.LogSession{Lines: 1, Tail: true}, 2*time.Second)
	first := w.open(token, "Accept", "text/event-stream")
	e := readEvents(first.Body)
	e.expect(t, "history")
	w.append("web.1", "new 1")
	w.append("web.1", "new 2")
	e.expect(t, "new 1")
	first.Body.Close()
	w.append("web.1", "new 3")
	time.Sleep(2100 * time.Millisecond) // the time to connect is over

	again := readEvents(w.open(token, "Accept", "text/event-stream", "Last-Event-ID", e.id).Body)
	again.expect(t, "new 2", "new 3")
	w.append("web.1", "new 4")
	again.expect(t, "new 4")

	plain := bufio.NewScanner(w.open(token).Body)
	if !plain.Scan() || !strings.HasSuffix(plain.Text(), "app[web.1]: new 4") {
		t.Errorf("plain: %q", plain.Text())
	}
}

// Who has seen no line yet goes on from where it began, too.
func TestATailThatShowedNothingGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t)
	w.append("web.1", "old")
	w.flush()
	token := w.session(hoist.LogSession{Lines: 0, Tail: true}, time.Minute)
	first := w.open(token, "Accept", "text/event-stream")
	body := bufio.NewReader(first.Body)
	id, err := body.ReadString('\n')
	end, _ := body.ReadString('\n')
	if !strings.HasPrefix(id, "id: ") || end != "\n" || err != nil {
		t.Fatalf("%q, %q, %v", id, end, err)
	}
	first.Body.Close()
	w.append("web.1", "while away")
	w.flush()
	again := readEvents(w.open(token, "Accept", "text/event-stream", "Last-Event-ID", strings.TrimSpace(id[len("id: "):])).Body)
	again.expect(t, "while away")
}

// Lines that came together are one message of the bus, of which a reader may have some.
func TestAReaderGoesOnInTheMiddleOfWhatCameTogether(t *testing.T) {
	w := newWorld(t)
	w.nats.Stop()
	for i := range 10 {
		w.append("web.1", "line %d", i)
	}
	w.nats.Start()
	w.flush()
	token := w.session(hoist.LogSession{Lines: 10, Tail: true}, time.Minute)
	first := w.open(token, "Accept", "text/event-stream")
	e := readEvents(first.Body)
	e.expect(t, "line 0", "line 1", "line 2", "line 3")
	first.Body.Close()
	again := readEvents(w.open(token, "Accept", "text/event-stream", "Last-Event-ID", e.id).Body)
	again.expect(t, "line 4", "line 5", "line 6", "line 7", "line 8", "line 9")
}

func TestWhoComesBackTooLateIsTold(t *testing.T) {
	w := newWorld(t)
	w.append("web.1", "seen")
	w.flush()
	token := w.session(hoist.LogSession{Lines: 1, Tail: true}, time.Minute)
	first := w.open(token, "Accept", "text/event-stream")
	e := readEvents(first.Body)
	e.expect(t, "seen")
	first.Body.Close()
	for i := range hoist.LogKeep + 10 {
		w.append("web.1", "line %d%s", i, alone)
	}
	w.flush()
	again := readEvents(w.open(token, "Accept", "text/event-stream", "Last-Event-ID", e.id).Body)
	if got := again.next(t); !strings.Contains(got, "Error L11") || !strings.Contains(got, "may be missing, as 1500 are kept") {
		t.Errorf("got %q", got)
	}
	for i := 10; i < hoist.LogKeep+10; i++ {
		again.expect(t, fmt.Sprintf("line %d%s", i, alone))
	}
}

// alone makes a line so long that no other goes with it on the bus, which counts messages.
var alone = strings.Repeat(".", 5000)

// More comes at once than the bus keeps: a tail has or counts every line.
func TestATailAccountsForEveryLine(t *testing.T) {
	w := newWorld(t)
	e := readEvents(w.open(w.session(hoist.LogSession{Tail: true}, time.Minute), "Accept", "text/event-stream").Body)
	w.append("web.1", "first")
	e.expect(t, "first")
	w.nats.Stop()
	const lines = 2 * hoist.LogKeep
	for i := range lines {
		w.append("web.1", "%d%s", i, alone)
	}
	w.nats.Start()
	w.append("web.1", "last")
	told := regexp.MustCompile(`missed (\d+) lines`)
	shown, missed, last := 0, 0, -1
	for text := e.next(t); text != "last"; text = e.next(t) {
		if m := told.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1])
			missed += n
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(text, alone))
		if err != nil {
			continue // waiting
		}
		if n <= last || n != shown+missed {
			t.Fatalf("%d came after %d, %d shown and %d missed", n, last, shown, missed)
		}
		shown, last = shown+1, n
	}
	t.Logf("%d shown, %d missed", shown, missed)
	if shown+missed != lines {
		t.Errorf("%d shown and %d missed are not %d", shown, missed, lines)
	}
}

func TestATailSurvivesTheBus(t *testing.T) {
	w := newWorld(t)
	e := readEvents(w.open(w.session(hoist.LogSession{Lines: 100, Tail: true}, time.Minute), "Accept", "text/event-stream").Body)
	for i := range 5 {
		w.append("web.1", "before %d", i)
	}
	e.expect(t, "before 0", "before 1", "before 2", "before 3", "before 4")
	w.nats.Stop()
	for i := range 5 {
		w.append("web.1", "while away %d", i)
	}
	e.expect(t, "waiting for the message bus")
	w.nats.Start()
	e.expect(t, "while away 0", "while away 1", "while away 2", "while away 3", "while away 4")
	w.append("web.1", "after")
	e.expect(t, "after")
}

func TestHistoryWithoutABusIsRefusedInTime(t *testing.T) {
	w := newWorld(t)
	w.nats.Stop()
	begin := time.Now()
	res := w.open(w.session(hoist.LogSession{Lines: 1}, time.Minute))
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || !strings.Contains(string(body), "message bus") || time.Since(begin) > busPatience+5*time.Second {
		t.Errorf("%s %s after %s", res.Status, body, time.Since(begin))
	}
	if w.srv.WaitsFor() != "message bus" {
		t.Errorf("waits for %q", w.srv.WaitsFor())
	}
}

func TestATailBeginsWithAllOfALongHistory(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 5000)
	for i := range 500 {
		w.append("web.1", "%d %s", i, long)
	}
	w.flush()
	e := readEvents(w.open(w.session(hoist.LogSession{Lines: 500, Tail: true}, time.Minute), "Accept", "text/event-stream").Body)
	for i := range 500 {
		e.expect(t, fmt.Sprintf("%d %s", i, long))
	}
}

func TestATailEndsWithItsApp(t *testing.T) {
	w := newWorld(t)
	e := readEvents(w.open(w.session(hoist.LogSession{Tail: true}, time.Minute), "Accept", "text/event-stream").Body)
	w.append("web.1", "hello")
	e.expect(t, "hello")
	w.exec(`DELETE FROM apps`)
	select {
	case _, open := <-e.data:
		if open {
			t.Error("more came")
		}
	case <-time.After(10 * time.Second):
		t.Error("the tail goes on")
	}
}

func TestAReaderWhoStopsHarmsNobody(t *testing.T) {
	w := newWorld(t)
	session := hoist.LogSession{Tail: true}
	stuck, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprintf(stuck, "GET /streams/%s HTTP/1.1\r\nHost: x\r\n\r\n", w.session(session, time.Minute))
	e := readEvents(w.open(w.session(session, time.Minute), "Accept", "text/event-stream").Body)
	const lines, batch = 3000, 200 // batches, so that only the stuck reader falls behind
	long := strings.Repeat("x", 5000)
	for i := range lines {
		w.append("web.1", "%d %s", i, long)
		for n := i + 1 - batch; (i+1)%batch == 0 && n <= i; n++ {
			if got, _, _ := strings.Cut(e.next(t), " "); got != strconv.Itoa(n) {
				t.Fatalf("%s came for %d", got, n)
			}
		}
	}
	stuck.SetReadDeadline(time.Now().Add(10 * time.Second))
	for s := bufio.NewScanner(stuck); s.Scan(); {
		if strings.Contains(s.Text(), "Error L11") {
			return
		}
	}
	t.Error("the slow reader was not told")
}

func TestRunEndsItsReaders(t *testing.T) {
	w := newWorld(t)
	e := readEvents(w.open(w.session(hoist.LogSession{Tail: true}, time.Minute), "Accept", "text/event-stream").Body)
	w.append("web.1", "hello")
	e.expect(t, "hello")
	w.stop()
	if _, open := <-e.data; open {
		t.Error("more came")
	}
}

func TestExpiredSessionsAreCollected(t *testing.T) {
	w := newWorld(t)
	w.session(hoist.LogSession{}, -time.Second)
	if err := w.srv.sessions.DeleteExpiredLogSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	w.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM log_sessions`).Scan(&n)
	if n != 0 {
		t.Errorf("%d left", n)
	}
}

func TestReadersStayWhileTheServerDrains(t *testing.T) {
	w := newWorld(t, func(s *Server) { s.drain = 6 * time.Second })
	res := w.open(w.session(hoist.LogSession{Tail: true}, time.Minute))
	lines := bufio.NewScanner(res.Body)
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	time.Sleep(200 * time.Millisecond)
	w.append("web.1", "said while it drains")
	if !lines.Scan() || !strings.Contains(lines.Text(), "said while it drains") {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
	res.Body.Close()
	select {
	case <-stopped:
	case <-time.After(4 * time.Second):
		t.Error("waits for nobody")
	}
}
