package api

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestAppsAndWhatBelongsToThem(t *testing.T) {
	e := start(t)

	e.run("an account is shown and changed", func(t *testing.T, e *env) {
		if got := e.want(200, "GET", "/account", "").text("email"); got != e.email {
			t.Error(got)
		}
		e.want(200, "GET", "/users/~", "")
		if got := e.want(200, "PATCH", "/account", `{"name":"Ann"}`).text("name"); got != "Ann" {
			t.Error(got)
		}
		e.want(200, "GET", "/account/rate-limits", "")
		e.want(404, "GET", "/users/bob@example.com", "")
		e.want(404, "PATCH", "/users/bob@example.com", `{"name":"Bob"}`)
		if got := e.want(200, "PATCH", "/users/"+e.email, `{"name":"Ann B."}`).text("name"); got != "Ann B." {
			t.Error(got)
		}
	})

	e.run("changes that overlap do not undo each other", func(t *testing.T, e *env) {
		flo := e.as("flo@example.com")
		flo.overtaken("PATCH", "/account", `{"name":"Flo"}`, func() {
			flo.want(200, "PATCH", "/account", `{"password":"correct horse","new_password":"battery staple"}`)
		})
		flo.want(403, "PATCH", "/account", `{"password":"correct horse","new_password":"staple battery"}`)
		if got := flo.want(200, "PATCH", "/account", `{"password":"battery staple","new_password":"staple battery"}`); got.text("name") != "Flo" {
			t.Errorf("%s", got.body)
		}
		flo.app("overlapped")
		flo.overtaken("PATCH", "/apps/overlapped", `{"maintenance":true}`, func() {
			flo.want(200, "PATCH", "/apps/overlapped", `{"name":"renamed"}`)
		})
		if got := flo.want(200, "GET", "/apps/renamed", ""); got.text("maintenance") != "true" {
			t.Errorf("%s", got.body)
		}
	})

	e.run("an account that owns nothing is deleted, what it did stays", func(t *testing.T, e *env) {
		e.app("shared")
		zoe := e.as("zoe@example.com")
		e.want(201, "POST", "/apps/shared/collaborators", `{"user":"zoe@example.com"}`)
		zoe.want(200, "PATCH", "/apps/shared/config-vars", `{"BY":"zoe"}`)
		zoe.app("zoes")
		password := "Heroku-Password: " + testPassword
		if got := zoe.want(403, "DELETE", "/account", ""); !strings.Contains(got.text("message"), "Heroku-Password") {
			t.Errorf("%s", got.body)
		}
		zoe.want(403, "DELETE", "/account", "", "Heroku-Password: wrong")
		if got := zoe.want(422, "DELETE", "/account", "", password); !strings.Contains(got.text("message"), "zoes") {
			t.Errorf("%s", got.body)
		}
		zoe.want(200, "DELETE", "/apps/zoes", "")
		zoe.want(404, "DELETE", "/users/"+e.email, "", password)
		zoe.want(200, "DELETE", "/account", "", "Heroku-Password-Base64: "+base64.StdEncoding.EncodeToString([]byte(testPassword)))
		zoe.want(401, "GET", "/account", "")
		if got := e.want(200, "GET", "/apps/shared/releases/2", "").text("user.email"); !strings.HasSuffix(got, "@deleted.invalid") {
			t.Error(got)
		}
		if e.want(200, "GET", "/apps/shared/collaborators", "").size() != 1 {
			t.Error("still a collaborator")
		}
		// Nothing of hers is left but that release: the address is free again.
		yve := e.as("zoe@example.com")
		yve.want(200, "DELETE", "/users/~", "", password)
		e.want(422, "POST", "/apps/shared/collaborators", `{"user":"zoe@example.com"}`)
	})

	e.run("apps are filtered", func(t *testing.T, e *env) {
		_, id := e.app("wanted")
		if got := e.want(200, "POST", "/filters/apps", `{"in":{"id":["`+id+`","01234567-89ab-4def-8123-456789abcdef"]}}`); got.size() != 1 || got.text("0.name") != "wanted" {
			t.Errorf("%s", got.body)
		}
		if got := e.as("nosy@example.com").want(200, "POST", "/filters/apps", `{"in":{"id":["`+id+`"]}}`); got.size() != 0 {
			t.Errorf("%s", got.body)
		}
		e.want(200, "DELETE", "/apps/wanted", "")
		e.want(200, "DELETE", "/apps/shared", "")
	})

	e.run("an app is created, found, listed, renamed and destroyed", func(t *testing.T, e *env) {
		made := e.want(201, "POST", "/apps", `{"name":"first-app","region":"local","stack":"debian-12"}`)
		if made.text("web_url") != strings.Replace(e.url, "127.0.0.1", "first-app.127.0.0.1", 1)+"/" {
			t.Error(made.text("web_url"))
		}
		e.want(200, "GET", "/apps/first-app", "")
		e.want(200, "GET", "/apps/"+made.text("id"), "")
		if e.want(200, "GET", "/apps", "").size() != 1 || e.want(200, "GET", "/users/~/apps", "").size() != 1 {
			t.Error("not listed")
		}
		e.want(200, "PATCH", "/apps/first-app", `{"name":"second-app","maintenance":true}`)
		e.want(404, "GET", "/apps/first-app", "")
		if got := e.want(200, "GET", "/apps/second-app", "").text("maintenance"); got != "true" {
			t.Error(got)
		}
		e.want(200, "DELETE", "/apps/second-app", "")
		e.want(404, "GET", "/apps/second-app", "")
	})

	e.run("nobody makes an app the platform's", func(t *testing.T, e *env) {
		e.want(201, "POST", "/apps", `{"name":"pretender","system":true}`)
		e.want(200, "PATCH", "/apps/pretender", `{"system":true,"maintenance":true}`)
		if got := e.want(422, "PATCH", "/apps/pretender", `{"name":"hoist"}`); !strings.Contains(got.text("message"), "reserved") {
			t.Errorf("%s", got.body)
		}
		var system, maintenance bool
		err := e.db.Pool.QueryRow(t.Context(), `SELECT system, maintenance FROM apps WHERE name = 'pretender'`).Scan(&system, &maintenance)
		if err != nil || system || !maintenance {
			t.Errorf("system %t, maintenance %t, %v", system, maintenance, err)
		}
		e.want(200, "DELETE", "/apps/pretender", "") // the platform's own cannot be
		e.want(404, "GET", "/apps/pretender", "")
	})

	e.run("an app without a name gets one", func(t *testing.T, e *env) {
		name := e.want(201, "POST", "/apps", "").text("name")
		if !hoist.AppName.MatchString(name) {
			t.Error(name)
		}
		e.want(200, "DELETE", "/apps/"+name, "")
	})

	e.run("bad names are refused with the reason", func(t *testing.T, e *env) {
		e.app("taken")
		for name, message := range map[string]string{
			"taken": "Name taken is already taken", "ab": "too short", "1abc": "start with a letter", "api": "reserved",
			"hoist": "reserved", "hoist-proof": "reserved", strings.Repeat("a", 31): "too long", "Upper": "lowercase", "abc-": "end with",
		} {
			got := e.want(422, "POST", "/apps", `{"name":"`+name+`"}`)
			if !strings.Contains(got.text("message"), message) || got.text("id") != "invalid_params" {
				t.Errorf("%s: %s", name, got.body)
			}
		}
		e.want(422, "POST", "/apps", `{"name":"good","region":"mars"}`)
		e.want(422, "POST", "/apps", `{"name":"good","stack":"cedar"}`)
	})

	e.run("config vars are set and unset with a release each", func(t *testing.T, e *env) {
		app, _ := e.app("config")
		e.want(200, "PATCH", "/apps/config/config-vars", `{"A":"1","B":"two"}`)
		e.want(200, "PATCH", "/apps/config/config-vars", `{"A":"1"}`) // no change, no release
		got := e.want(200, "PATCH", "/apps/config/config-vars", `{"B":null,"C":"3"}`)
		if got.text("A") != "1" || got.text("B") != "" || got.text("C") != "3" {
			t.Errorf("%s", got.body)
		}
		releases := e.want(200, "GET", "/apps/"+app+"/releases", "", "Range: version ..; order=desc,max=10")
		if releases.text("0.description") != "Config add C; remove B" || releases.text("1.description") != "Config add A, B" ||
			releases.text("0.version") != "3" || releases.size() != 3 {
			t.Errorf("%s", releases.body)
		}
		if got := e.want(200, "GET", "/apps/config/releases/2/config-vars", ""); got.text("B") != "two" {
			t.Errorf("%s", got.body)
		}
		e.want(200, "GET", "/apps/config/config-vars", "")
		e.want(422, "PATCH", "/apps/config/config-vars", `{"A-B":"1"}`)
		if got := e.want(422, "PATCH", "/apps/config/config-vars", `{"A":1}`); !strings.Contains(got.text("message"), `"A"`) {
			t.Errorf("%s", got.body)
		}
		e.want(422, "PATCH", "/apps/config/config-vars", `{"A":"\u0000"}`)
		e.want(422, "PATCH", "/apps/config/config-vars", `{"BIG":"`+strings.Repeat("x", configLimit)+`"}`)
		e.want(413, "PATCH", "/apps/config/config-vars", `{"BIG":"`+strings.Repeat("x", bodyLimit)+`"}`)
		e.want(400, "PATCH", "/apps/config/config-vars", `{"A":`)
	})

	e.run("a slug that was uploaded is released, and rolled back", func(t *testing.T, e *env) {
		app, appID := e.app("slugs")
		for i, types := range []string{`{"web":"./server","worker":"./work"}`, `{"web":"./server -v2","clock":"./clock"}`} {
			slug := e.want(201, "POST", "/apps/slugs/slugs", `{"process_types":`+types+`,"commit":"de63889c20a96347679af2c5160c390727fa6749"}`)
			release := `{"slug":"` + slug.text("id") + `"}`
			e.want(422, "POST", "/apps/slugs/releases", release)
			image := "hsqs image " + fmt.Sprint(i)
			put(t, slug.text("blob.url"), image)
			unreleased, err := e.db.Slug(t.Context(), appID, slug.text("id"))
			if err != nil {
				t.Fatal(err)
			}
			got := e.want(201, "POST", "/apps/slugs/releases", release)
			put(t, slug.text("blob.url"), "hsqs another")                         // too late
			if err := e.server.checkStored(t.Context(), unreleased); err != nil { // of a release that began before
				t.Error(err)
			}
			unreleased.SHA256 = strings.Repeat("0", 64)
			if err := e.server.checkStored(t.Context(), unreleased); err == nil {
				t.Error("another checksum is taken")
			}
			if kept := fetched(t, e.want(200, "GET", "/apps/slugs/slugs/"+slug.text("id"), "").text("blob.url")); kept != image {
				t.Errorf("what was released has become %q", kept)
			}
			if got.text("description") != "Deploy de63889" || got.text("version") != fmt.Sprint(i+2) || got.text("current") != "true" {
				t.Errorf("%s", got.body)
			}
		}
		formation := e.want(200, "GET", "/apps/slugs/formation", "")
		if formation.text("0.type") != "clock" || formation.text("0.quantity") != "0" || formation.text("1.command") != "./server -v2" ||
			formation.text("1.quantity") != "1" || formation.size() != 2 {
			t.Errorf("%s", formation.body)
		}
		e.want(422, "POST", "/apps/slugs/releases", `{"release":"v1"}`)
		e.want(422, "POST", "/apps/slugs/releases", `{"release":"v3"}`)
		e.want(404, "POST", "/apps/slugs/releases", `{"release":"v9"}`)
		e.want(422, "POST", "/apps/slugs/releases", `{}`)
		to := e.want(200, "GET", "/apps/slugs/releases/2", "").text("id")
		back := e.want(201, "POST", "/apps/slugs/releases", `{"release":"`+to+`"}`)
		if back.text("description") != "Rollback to v2" || back.text("version") != "4" {
			t.Errorf("%s", back.body)
		}
		if got := e.want(200, "GET", "/apps/"+app+"/formation/web", "").text("command"); got != "./server" {
			t.Error(got)
		}
	})

	e.run("the formation is scaled in every form", func(t *testing.T, e *env) {
		path := "/apps/slugs/formation"
		for _, c := range []struct{ update, quantity, size string }{
			{`{"type":"web","quantity":2}`, "2", "Basic"},
			{`{"type":"web","quantity":"3","size":"STANDARD-2x"}`, "3", "Standard-2X"},
			{`{"type":"web","quantity":"+1"}`, "4", "Standard-2X"},
			{`{"type":"web","quantity":"-4"}`, "0", "Standard-2X"},
			{`{"type":"web","dyno_size":{"name":"eco"}}`, "0", "Eco"},
			{`{"type":"web","quantity":null,"size":null}`, "0", "Eco"},
		} {
			e.want(200, "PATCH", path, `{"updates":[`+c.update+`]}`)
			got := e.want(200, "GET", path+"/web", "")
			if got.text("quantity") != c.quantity || got.text("size") != c.size {
				t.Errorf("%s: %s", c.update, got.body)
			}
		}
		e.want(200, "PATCH", path+"/web", `{"quantity":1}`)
		for _, bad := range []string{`{"type":"web","quantity":101}`, `{"type":"web","quantity":-1}`, `{"type":"web","quantity":"x"}`,
			`{"type":"web","quantity":1.5}`, `{"type":"web","quantity":"-9"}`, `{"type":"web","size":"huge"}`} {
			e.want(422, "PATCH", path, `{"updates":[{"type":"worker","quantity":7},`+bad+`]}`)
		}
		if got := e.want(200, "GET", path+"/worker", "").text("quantity"); got != "0" {
			t.Error("half of a refused batch was applied")
		}
		e.want(404, "PATCH", path, `{"updates":[{"type":"nope","quantity":1}]}`)
		e.want(422, "PATCH", path, `{"updates":[]}`)
		e.want(422, "PATCH", path, `{"updates":[{"quantity":1}]}`)
	})

	e.run("of the platform's runtimes there are no more than an upgrade has places for", func(t *testing.T, e *env) {
		id := e.system("crowded")
		add := func(id hoist.ID) {
			e.exec(`INSERT INTO formation (id, app_id, type, command, quantity, size) VALUES ($1, $2, 'runtime', 'x', 1, 'Basic')`, hoist.NewID(), id)
		}
		add(id)
		const path = "/apps/crowded/formation"
		most, more := strconv.Itoa(hoist.MaxRuntimes), strconv.Itoa(hoist.MaxRuntimes+1)
		e.want(200, "PATCH", path, `{"updates":[{"type":"runtime","quantity":`+most+`},{"type":"compile","quantity":`+more+`}]}`)
		for _, bad := range []string{more, `"+1"`} {
			got := e.want(422, "PATCH", path+"/runtime", `{"quantity":`+bad+`}`).text("message")
			contains(t, got, "runtime of crowded cannot be scaled to "+more+", only to 0 to "+most, "an upgrade starts as many new ones")
		}
		if got := e.want(200, "GET", path+"/runtime", "").text("quantity"); got != most {
			t.Errorf("it is scaled to %s", got)
		}
		// One that has more, from before there was a limit, is scaled in all else, and down.
		e.exec(`UPDATE formation SET quantity = 7 WHERE app_id = $1 AND type = 'runtime'`, id)
		e.want(200, "PATCH", path, `{"updates":[{"type":"compile","quantity":2},{"type":"runtime","size":"Standard-2X"}]}`)
		e.want(200, "PATCH", path+"/runtime", `{"quantity":`+most+`}`)
		_, other := e.app("own-runtime") // somebody's process type of that name
		add(other)
		e.want(200, "PATCH", "/apps/own-runtime/formation/runtime", `{"quantity":`+more+`}`)
	})

	e.run("one-off dynos are run, shown and stopped", func(t *testing.T, e *env) {
		run := e.want(201, "POST", "/apps/slugs/dynos",
			`{"command":"bash","attach":true,"env":{"TERM":"xterm","COLUMNS":"80"},"force_no_tty":null,"size":"eco","time_to_live":60}`)
		if run.text("name") != "run.1" || run.text("size") != "Eco" || !strings.HasPrefix(run.text("attach_url"), "rendezvous://127.0.0.1:5000/") {
			t.Errorf("%s", run.body)
		}
		if got := e.want(201, "POST", "/apps/slugs/dynos", `{"command":"date"}`); got.text("name") != "run.2" || got.get("attach_url") != nil {
			t.Errorf("%s", got.body)
		}
		if e.want(200, "GET", "/apps/slugs/dynos", "").size() != 2 {
			t.Error("not listed")
		}
		e.want(200, "GET", "/apps/slugs/dynos/run.1", "")
		e.want(200, "GET", "/apps/slugs/dynos/"+run.text("id"), "")
		e.want(202, "POST", "/apps/slugs/dynos/run.1/actions/stop", "")
		e.want(202, "DELETE", "/apps/slugs/dynos/run.2", "")
		e.want(202, "DELETE", "/apps/slugs/dynos", "")
		e.want(202, "DELETE", "/apps/slugs/formations/web", "")
		e.want(202, "POST", "/apps/slugs/formations/web/actions/stop", "")
		e.want(404, "DELETE", "/apps/slugs/formations/nope", "")
		for _, name := range []string{"run.99", "run", "run.99999999999", "%00", "%ff"} {
			if got := e.send("DELETE", "/apps/slugs/dynos/"+name, ""); got.status != 404 && got.status != 400 {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		for _, bad := range []string{`{}`, `{"command":" "}`, `{"command":"x","env":{"A=B":"c"}}`, `{"command":"x","type":"web"}`,
			`{"command":"x","type":"a b"}`, `{"command":"x","size":"huge"}`, `{"command":"x","attach":"yes"}`, `{"command":"x","time_to_live":-1}`} {
			e.want(422, "POST", "/apps/slugs/dynos", bad)
		}
	})

	e.run("what is not there yet is empty or not found", func(t *testing.T, e *env) {
		for _, path := range []string{"/teams", "/addons", "/addon-attachments", "/addon-services", "/pipelines", "/pipeline-couplings",
			"/account/features", "/account/app-transfers", "/enterprise-accounts", "/spaces", "/apps/slugs/addons",
			"/apps/slugs/addon-attachments", "/apps/slugs/sni-endpoints", "/apps/slugs/features", "/apps/slugs/log-drains",
			"/apps/slugs/webhooks", "/apps/slugs/telemetry-drains", "/oauth/clients", "/oauth/sessions", "/users/~/addons"} {
			if got := e.want(200, "GET", path, ""); got.size() != 0 {
				t.Errorf("%s: %s", path, got.body)
			}
		}
		for _, path := range []string{"/nowhere", "/apps/slugs/pipeline-couplings", "/teams/x", "/apps/slugs/nowhere"} {
			if got := e.want(404, "GET", path, ""); got.text("id") != "not_found" {
				t.Errorf("%s: %s", path, got.body)
			}
		}
		for path, what := range map[string]string{"/apps/slugs/addons": "add-ons", "/apps/slugs/log-drains": "log drains", "/pipelines": "pipelines"} {
			if got := e.want(404, "POST", path, `{}`); !strings.Contains(got.text("message"), "no "+what) {
				t.Errorf("%s: %s", path, got.body)
			}
		}
		e.want(404, "POST", "/apps/no-such-app/addons", `{}`)
	})

	e.run("stacks, regions and sizes are shown", func(t *testing.T, e *env) {
		for _, path := range []string{"/stacks", "/stacks/debian-12", "/apps/slugs/available-stacks", "/regions", "/regions/local",
			"/dyno-sizes", "/dyno-sizes/basic", "/apps/slugs/available-dyno-sizes"} {
			e.want(200, "GET", path, "")
		}
		e.want(404, "GET", "/stacks/x", "")
		e.want(404, "GET", "/dyno-sizes/x", "")
		for _, path := range []string{"/stacks", "/regions", "/dyno-sizes", "/apps/slugs/available-stacks", "/apps/slugs/available-dyno-sizes"} {
			if got := e.want(200, "GET", path, "", "Range: id 0..f; max=1000"); !strings.Contains(got.header.Get("Accept-Ranges"), "id") {
				t.Errorf("%s: %v", path, got.header)
			}
		}
		if got := e.want(206, "GET", "/dyno-sizes", "", "Range: name ..; max=1"); got.text("0.name") != "Basic" {
			t.Errorf("%s", got.body)
		}
	})

	e.run("buildpacks are replaced", func(t *testing.T, e *env) {
		path := "/apps/slugs/buildpack-installations"
		got := e.want(200, "PUT", path, `{"updates":[{"buildpack":"heroku/go"},{"buildpack":"https://example.com/a/b.git"}]}`)
		if got.text("0.buildpack.url") != "hoist/go" || got.text("1.buildpack.name") != "b" || got.text("1.ordinal") != "1" {
			t.Errorf("%s", got.body)
		}
		if got := e.want(200, "GET", "/buildpacks/heroku%2Fgo", ""); got.text("blob_url") != "hoist/go" {
			t.Errorf("%s", got.body)
		}
		e.want(404, "GET", "/buildpacks/heroku%2Fcobol", "")
		e.want(422, "PUT", path, `{"updates":[{"buildpack":"heroku/cobol"}]}`)
		e.want(422, "PUT", path, `{"updates":[{"buildpack":"file:///etc/passwd"}]}`)
		if e.want(200, "GET", path, "").size() != 2 {
			t.Error("a refused change was applied")
		}
		e.want(422, "PUT", path, `{}`) // cleared by mistake
		if e.want(200, "GET", path, "").size() != 2 {
			t.Error("a refused change was applied")
		}
		if e.want(200, "PUT", path, `{"updates":[]}`).size() != 0 {
			t.Error("not cleared")
		}
	})

	e.run("domains are added and removed", func(t *testing.T, e *env) {
		if got := e.want(200, "GET", "/apps/slugs/domains", ""); got.text("0.hostname") != "slugs.127.0.0.1" || got.text("0.kind") != "heroku" {
			t.Errorf("%s", got.body)
		}
		got := e.want(201, "POST", "/apps/slugs/domains", `{"hostname":"WWW.example.com","sni_endpoint":null}`)
		if got.text("status") != "succeeded" || got.text("hostname") != "www.example.com" {
			t.Errorf("%s", got.body)
		}
		e.want(422, "POST", "/apps/taken/domains", `{"hostname":"www.example.com"}`)
		e.want(422, "POST", "/apps/slugs/domains", `{"hostname":"x.127.0.0.1"}`)
		e.want(422, "POST", "/apps/slugs/domains", `{"hostname":"no spaces.com"}`)
		e.want(200, "GET", "/apps/slugs/domains/www.example.com", "")
		e.want(200, "PATCH", "/apps/slugs/domains/www.example.com", `{"sni_endpoint":null}`)
		e.want(200, "DELETE", "/apps/slugs/domains/www.example.com", "")
		e.want(404, "DELETE", "/apps/slugs/domains/www.example.com", "")
		e.want(422, "DELETE", "/apps/slugs/domains/slugs.127.0.0.1", "")
	})

	e.run("a log session is a secret URL", func(t *testing.T, e *env) {
		got := e.want(201, "POST", "/apps/slugs/log-sessions", `{"lines":1500,"tail":true,"dyno":"web.1","source":"app"}`)
		if url := got.text("logplex_url"); !strings.Contains(url, "://127.0.0.1:") || !strings.Contains(url, "tail=true") {
			t.Error(url)
		}
		e.want(422, "POST", "/apps/slugs/log-sessions", `{"lines":"many"}`)
	})
}

func fetched(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func put(t *testing.T, url, body string) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode >= 300 {
		t.Fatal(err, response)
	}
	response.Body.Close()
}

func TestOnlyWhoMayGetsIn(t *testing.T) {
	e := start(t)
	basic := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}

	e.run("tokens come as Bearer or Basic, passwords only for a token", func(t *testing.T, e *env) {
		e.want(200, "GET", "/account", "", basic(":"+e.token))
		e.want(200, "GET", "/account", "", basic(e.email+":"+e.token))
		for _, bad := range []string{"Authorization: ", "Authorization: Bearer x", "Authorization: Basic !", basic("x"), basic(e.email + ":" + testPassword)} {
			if got := e.want(401, "GET", "/account", "", bad); got.text("id") != "unauthorized" {
				t.Errorf("%s", got.body)
			}
		}
		if got := e.want(401, "GET", "/account", "", "Authorization: "); !strings.Contains(got.text("message"), "Bearer") {
			t.Errorf("%s", got.body)
		}
		made := e.want(201, "POST", "/oauth/authorizations", `{"scope":["global"],"description":"CLI","expires_in":3600}`, basic("ANN@example.com:"+testPassword))
		if !strings.HasPrefix(made.text("access_token.token"), "HRKU-") {
			t.Errorf("%s", made.body)
		}
		e.want(200, "GET", "/account", "", "Authorization: Bearer "+made.text("access_token.token"))
		e.want(401, "POST", "/oauth/authorizations", `{}`, basic(e.email+":wrong password"))
		e.want(401, "POST", "/oauth/authorizations", `{}`, basic("nobody@example.com:"+testPassword))
	})

	e.run("authorizations are listed, regenerated and revoked", func(t *testing.T, e *env) {
		made := e.want(201, "POST", "/oauth/authorizations", `{"scope":["read"],"description":"ci"}`)
		first := made.text("access_token.token")
		path := "/oauth/authorizations/" + made.text("id")
		e.want(200, "GET", path, "")
		e.want(200, "GET", "/oauth/authorizations/~", "")
		if list := e.want(200, "GET", "/oauth/authorizations", ""); strings.Contains(string(list.body), first) {
			t.Error("the list shows another token")
		}
		if got := e.want(200, "PATCH", path, `{"description":"CI","client":{}}`).text("description"); got != "CI" {
			t.Error(got)
		}
		e.want(422, "PATCH", path, `{"client":{}}`)
		e.want(404, "PATCH", "/oauth/authorizations/01234567-89ab-4def-8123-456789abcdef", `{"description":"x","client":{}}`)
		second := e.want(200, "POST", path+"/actions/regenerate-tokens", "").text("access_token.token")
		e.want(401, "GET", "/account", "", "Authorization: Bearer "+first)
		e.want(200, "GET", "/apps", "", "Authorization: Bearer "+second)
		e.want(403, "POST", "/apps", "", "Authorization: Bearer "+second)
		e.want(403, "GET", "/apps/x/config-vars", "", "Authorization: Bearer "+second)
		e.want(403, "POST", "/oauth/authorizations", "", "Authorization: Bearer "+second)
		e.want(200, "GET", "/users/~", "", "Authorization: Bearer "+second)
		writes := e.want(201, "POST", "/oauth/authorizations", `{"scope":["write"]}`).text("access_token.token")
		for _, method := range []string{"PATCH", "DELETE"} {
			e.want(403, method, "/account", `{}`, "Authorization: Bearer "+writes)
			e.want(403, method, "/users/~", `{}`, "Authorization: Bearer "+writes)
		}
		e.want(200, "DELETE", path, "")
		e.want(404, "DELETE", path, "")
		e.want(401, "GET", "/apps", "", "Authorization: Bearer "+second)
		e.want(422, "POST", "/oauth/authorizations", `{"scope":["root"]}`)
	})

	e.run("logging out revokes the token", func(t *testing.T, e *env) {
		token := e.want(201, "POST", "/oauth/authorizations", `{"scope":["global"]}`).text("access_token.token")
		e.want(200, "DELETE", "/oauth/sessions/~", "", "Authorization: Bearer "+token)
		e.want(401, "GET", "/account", "", "Authorization: Bearer "+token)
	})

	e.run("another's app looks like one that does not exist", func(t *testing.T, e *env) {
		name, id := e.app("anns-app")
		bob := e.as("bob@example.com")
		missing := bob.want(404, "GET", "/apps/no-such-app", "")
		for _, path := range []string{"/apps/" + name, "/apps/" + id, "/apps/" + name + "/config-vars", "/apps/" + name + "/dynos"} {
			if got := bob.want(404, "GET", path, ""); string(got.body) != string(missing.body) {
				t.Errorf("%s: %s", path, got.body)
			}
		}
		bob.want(404, "DELETE", "/apps/"+name, "")
		if bob.want(200, "GET", "/apps", "").size() != 0 {
			t.Error("listed")
		}
	})

	e.run("a collaborator may work on the app but not take it away", func(t *testing.T, e *env) {
		carl := e.as("carl@example.com")
		e.want(422, "POST", "/apps/anns-app/collaborators", `{"user":"nobody@example.com"}`)
		e.want(201, "POST", "/apps/anns-app/collaborators", `{"user":"Carl@example.com","silent":true}`)
		e.want(422, "POST", "/apps/anns-app/collaborators", `{"user":"carl@example.com"}`)
		carl.want(200, "PATCH", "/apps/anns-app/config-vars", `{"BY":"carl"}`)
		list := carl.want(200, "GET", "/apps/anns-app/collaborators", "")
		if list.size() != 2 || list.text("0.role") != "owner" || list.text("1.role") != "collaborator" {
			t.Errorf("%s", list.body)
		}
		carl.want(200, "GET", "/apps/anns-app/collaborators/carl@example.com", "")
		carl.want(403, "DELETE", "/apps/anns-app", "")
		carl.want(403, "PATCH", "/apps/anns-app", `{"name":"carls-app"}`)
		carl.want(403, "POST", "/apps/anns-app/collaborators", `{"user":"bob@example.com"}`)
		carl.want(422, "DELETE", "/apps/anns-app/collaborators/"+e.email, "")
		carl.want(200, "DELETE", "/apps/anns-app/collaborators/carl@example.com", "")
		carl.want(404, "GET", "/apps/anns-app", "")
	})

	e.run("nobody destroys or renames the platform", func(t *testing.T, e *env) {
		e.app("platform")
		e.exec(`UPDATE apps SET system = true WHERE name = 'platform'`)
		e.want(403, "DELETE", "/apps/platform", "")
		e.want(403, "PATCH", "/apps/platform", `{"name":"other"}`)
	})

	e.run("keys are added, shown and removed", func(t *testing.T, e *env) {
		const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBoCEKrRKvmDUEUJJlPUCPZhkLW16Ij7KQPBZDqDZ2T3 ann@laptop"
		made := e.want(201, "POST", "/account/keys", `{"public_key":"`+key+`"}`)
		if made.text("comment") != "ann@laptop" || !strings.HasPrefix(made.text("fingerprint"), "SHA256:") {
			t.Errorf("%s", made.body)
		}
		e.want(200, "GET", "/account/keys", "")
		e.want(200, "GET", "/account/keys/"+made.text("id"), "")
		e.want(200, "GET", "/account/keys/"+made.text("fingerprint"), "")
		const slashes = "SHA256:a//b///c"
		e.exec(`INSERT INTO keys (id, account_id, public_key, fingerprint) VALUES ($1, $2, 'ssh-ed25519 x', $3)`, hoist.NewID(), e.account.ID, slashes)
		e.want(200, "GET", "/account/keys/"+strings.ReplaceAll(slashes, "/", "%2F"), "")
		e.want(200, "DELETE", "/account/keys/"+slashes, "")
		dora := e.as("dora@example.com")
		dora.want(422, "POST", "/account/keys", `{"public_key":"`+key+`"}`)
		dora.want(404, "DELETE", "/account/keys/"+made.text("id"), "")
		e.want(200, "DELETE", "/account/keys/"+made.text("id"), "")
		e.want(404, "GET", "/account/keys/"+made.text("id"), "")
		e.want(422, "POST", "/account/keys", `{"public_key":"ssh-ed25519 nonsense"}`)
	})

	e.run("a new password ends the other tokens", func(t *testing.T, e *env) {
		eve := e.as("eve@example.com")
		other := eve.want(201, "POST", "/oauth/authorizations", `{"scope":["global"]}`).text("access_token.token")
		if got := eve.want(403, "PATCH", "/account", `{"new_password":"battery staple"}`); !strings.Contains(got.text("message"), "current password") {
			t.Errorf("%s", got.body)
		}
		eve.want(403, "PATCH", "/account", `{"password":"wrong","new_password":"battery staple"}`)
		eve.want(422, "PATCH", "/account", `{"password":"correct horse","new_password":"short"}`)
		eve.want(200, "PATCH", "/account", `{"password":"correct horse","new_password":"battery staple"}`)
		eve.want(401, "GET", "/account", "", "Authorization: Bearer "+other)
		eve.want(201, "POST", "/oauth/authorizations", `{"scope":["global"]}`, basic("eve@example.com:battery staple"))
		if got := eve.want(403, "PATCH", "/account", `{"email":"fay@example.com","password":"battery staple"}`); !strings.Contains(got.text("message"), "hoist admin email eve@example.com NEW") {
			t.Errorf("%s", got.body)
		}
		eve.want(200, "PATCH", "/account", `{"email":"eve@example.com"}`)
	})

	e.run("a token alone does not take over an account without a password", func(t *testing.T, e *env) {
		robot := e.as("robot@example.com")
		e.exec(`UPDATE accounts SET password_hash = '' WHERE email = 'robot@example.com'`)
		for method, body := range map[string]string{"PATCH": `{"new_password":"battery staple"}`, "DELETE": ""} {
			if got := robot.want(403, method, "/account", body); !strings.Contains(got.text("message"), "hoist admin account robot@example.com --password-stdin") {
				t.Errorf("%s", got.body)
			}
		}
		robot.want(200, "PATCH", "/account", `{"name":"Robot"}`)
	})

	e.run("guessing passwords is slow", func(t *testing.T, e *env) {
		limited := false
		for range loginBurst + 1 {
			got := e.send("POST", "/oauth/authorizations", `{}`, basic("victim@example.com:guess"), "X-Forwarded-For: 1.2.3.4")
			limited = limited || got.status == 429
		}
		if !limited {
			t.Error("no limit")
		}
		// Nobody keeps another from logging in, nor has long texts remembered.
		e.as("owner@example.com")
		for range 2 * loginBurst {
			e.send("POST", "/oauth/authorizations", `{}`, basic("owner@example.com:guess"), "X-Forwarded-For: 1.2.3.4")
		}
		e.want(201, "POST", "/oauth/authorizations", `{"scope":["global"]}`, basic("owner@example.com:"+testPassword), "X-Forwarded-For: 1.2.3.5")
		e.want(401, "POST", "/oauth/authorizations", `{}`, basic(strings.Repeat("x", emailMost)+"@example.com:guess"), "X-Forwarded-For: 1.2.3.4")
	})
}

func TestTheProtocolIsHerokus(t *testing.T) {
	e := start(t)
	for i := range 5 {
		e.app(fmt.Sprintf("app-%d", i))
	}

	e.run("versions", func(t *testing.T, e *env) {
		for accept, status := range map[string]int{
			"application/vnd.heroku+json; version=3": 200, "application/vnd.heroku+json; version=3.sdk": 200,
			"application/vnd.heroku+json; version=3.pipelines": 200, "*/*": 200, "application/json": 200, "": 200,
			"application/vnd.heroku+json": 200, "application/vnd.heroku+json; version=2": 406, "application/vnd.heroku+json; version=30": 406,
		} {
			e.want(status, "GET", "/account", "", "Accept: "+accept)
		}
	})

	e.run("ranges", func(t *testing.T, e *env) {
		first := e.want(206, "GET", "/apps", "", "Range: name ..; max=2")
		if first.text("0.name") != "app-0" || first.header.Get("Next-Range") != "name ]app-1..; max=2" || first.header.Get("Content-Range") != "name app-0..app-1" {
			t.Error(first.header)
		}
		second := e.want(206, "GET", "/apps", "", "Range: "+first.header.Get("Next-Range"))
		third := e.want(200, "GET", "/apps", "", "Range: "+second.header.Get("Next-Range"))
		if third.size() != 1 || third.text("0.name") != "app-4" {
			t.Errorf("%s", third.body)
		}
		if got := e.want(206, "GET", "/apps", "", "Range: name ..; order=desc,max=1"); got.text("0.name") != "app-4" ||
			got.header.Get("Next-Range") != "name ]app-4..; max=1,order=desc" {
			t.Error(got.header)
		}
		if got := e.want(200, "GET", "/apps", "", "Range: name app-1..app-2"); got.size() != 2 {
			t.Errorf("%s", got.body)
		}
		e.want(400, "GET", "/apps", "", "Range: nope ..")
		e.want(400, "GET", "/apps", "", "Range: name ..; max=x")
		e.want(201, "POST", "/apps", `{"name":"posted"}`, "Range: name ..; max=x")
	})

	e.run("conditional requests", func(t *testing.T, e *env) {
		got := e.want(200, "GET", "/apps/app-1", "")
		if e.want(304, "GET", "/apps/app-1", "", "If-None-Match: "+got.header.Get("ETag")); got.header.Get("ETag") == "" {
			t.Error("no ETag")
		}
		e.want(200, "PATCH", "/apps/app-1", `{"maintenance":true}`)
		e.want(200, "GET", "/apps/app-1", "", "If-None-Match: "+got.header.Get("ETag"))
		e.want(304, "HEAD", "/apps/app-1", "", "If-None-Match: "+e.want(200, "GET", "/apps/app-1", "").header.Get("ETag"))
	})

	e.run("slashes too many do no harm", func(t *testing.T, e *env) {
		for _, path := range []string{"//apps/app-1", "/apps/app-1/", "/apps//app-1", "/apps/./app-1"} {
			if got := e.want(200, "GET", path, "").text("name"); got != "app-1" {
				t.Errorf("%s: %s", path, got)
			}
		}
		e.want(404, "GET", "/apps/%2E%2E/app-1", "")
		e.want(404, "GET", "/apps/%2Fapp-1", "")
		e.want(201, "POST", "//apps/", `{"name":"with-slashes"}`)
	})

	e.run("request IDs and the rate limit", func(t *testing.T, e *env) {
		id := hoist.NewID()
		got := e.want(200, "GET", "/account", "", "Request-Id: "+id)
		if got.header.Get("Request-Id") != id || got.header.Get("RateLimit-Remaining") == "" {
			t.Error(got.header)
		}
		if got := e.want(200, "GET", "/account", "", "Request-Id: not an ID"); len(got.header.Get("Request-Id")) != 36 {
			t.Error(got.header)
		}
	})

	e.run("wrong types are named", func(t *testing.T, e *env) {
		for body, field := range map[string]string{`{"name":1}`: "name", `{"region":[]}`: "region", `{"stack":7}`: "stack", `[]`: "body"} {
			if got := e.want(422, "POST", "/apps", body); !strings.Contains(got.text("message"), field) {
				t.Errorf("%s: %s", body, got.body)
			}
		}
		e.want(400, "POST", "/apps", `{"name":`)
		if got := e.want(400, "POST", "/apps", `name=x`, "Content-Type: application/x-www-form-urlencoded"); !strings.Contains(got.text("message"), "not a form") {
			t.Errorf("%s", got.body)
		}
		e.want(201, "POST", "/apps", `{"name":"unknown-fields","whatever":{"x":1}}`)
	})

	e.run("a visitor is told where to go on", func(t *testing.T, e *env) {
		response, err := http.Get(e.url + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, _ := io.ReadAll(response.Body); !strings.Contains(string(text), "hoist login") {
			t.Errorf("%s", text)
		}
	})
}
