package router

import "net/http"

// failure is an error of Heroku's list
// (https://devcenter.heroku.com/articles/error-codes), as the log and the
// client are told.
type failure struct {
	code   string
	desc   string // in the log
	status int
	title  string // on the page
	advice string
}

var (
	failCrashed     = &failure{"H10", "App crashed", 503, "Application error", "The app's web process has crashed. If you own it, `hoist logs --tail` says why."}
	failBacklog     = &failure{"H11", "Backlog too deep", 503, "Too busy", "Too many requests are waiting for this app. Try again in a moment; if you own it, `hoist ps:scale web=+1` adds a dyno."}
	failTimeout     = &failure{"H12", "Request timeout", 503, "The app took too long", "It did not begin to answer in time. If you own it, `hoist logs --tail` shows what it was doing."}
	failNoResponse  = &failure{"H13", "Connection closed without response", 503, "Application error", "The app closed the connection without an answer. If you own it, `hoist logs --tail` may say why."}
	failNoWeb       = &failure{"H14", "No web processes running", 503, "The app is not running", "It has no web dynos. If you own it, `hoist ps:scale web=1` starts one."}
	failIdle        = &failure{"H15", "Idle connection", 503, "", ""} // the answer has begun: it is cut off
	failBadResponse = &failure{"H17", "Poorly formatted HTTP response", 503, "Application error", "The app's answer was no HTTP. If you own it, `hoist logs --tail` may say why."}
	failServerCut   = &failure{"H18", "Server Request Interrupted", 503, "Application error", "The app closed the connection in the middle."}
	failConnect     = &failure{"H19", "Backend connection timeout", 503, "Application error", "The app's web process does not accept connections. If you own it, `hoist ps` shows its dynos."}
	failBoot        = &failure{"H20", "App boot timeout", 503, "The app is still starting", "Try again in a moment. If you own it, `hoist logs --tail` shows how far it is."}
	failRefused     = &failure{"H21", "Backend connection refused", 503, "Application error", "The app's web process refuses connections. If you own it, `hoist ps` shows its dynos."}
	failClientCut   = &failure{"H27", "Client Request Interrupted", 499, "", ""} // nobody is there to be told
	failClientIdle  = &failure{"H28", "Client Connection Idle", 499, "", ""}
	failMaintenance = &failure{"H80", "Maintenance mode", 503, "Down for maintenance", "We are working on it; please come back soon."}
	failPlatform    = &failure{"H99", "Platform error", 503, "Platform error", "This part of the platform is not there just now. Try again in a moment; if you run it, `hoist seed ps` says what is missing."}
	failUnknownHost = &failure{"", "", 404, "There's nothing here, yet.", "No app has this name. If it should be yours, `hoist apps` lists the ones you have and `hoist domains:add` gives an app a further name."}
)

func badRequest(status int, reason string) *failure {
	return &failure{"H25", "HTTP Restriction: " + reason, status, http.StatusText(status), reason}
}
