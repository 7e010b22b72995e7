package hoist

// Routes is what the router knows: where each app's and each platform host's
// requests go.
type Routes struct {
	Apps     []Route   `json:"apps"`
	Services []Service `json:"services"`
}

// Route is where an app's requests go.
type Route struct {
	AppID       ID        `json:"app_id"`
	Name        string    `json:"name"`
	Maintenance bool      `json:"maintenance,omitempty"`
	Domains     []string  `json:"domains,omitempty"` // beside NAME.DOMAIN
	Web         int       `json:"web"`               // web dynos wanted
	Dynos       []WebDyno `json:"dynos,omitempty"`   // starting, up or crashed
}

// WebDyno is a dyno of the type "web", as the router sees it.
type WebDyno struct {
	ID      ID        `json:"id"`
	Number  int       `json:"number"`
	State   DynoState `json:"state"`
	Address string    `json:"address"` // ip:port; empty until it is up
}

// Service is a running process of the platform that serves HTTP.
type Service struct {
	Type    string `json:"type"` // "api", "git", "logs", "blobs" or "proof"
	Address string `json:"address"`
}
