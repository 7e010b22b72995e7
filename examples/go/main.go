// Command hello is a web app to try the platform with.
package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"
	"runtime"
	"time"
)

//go:embed page.html
var source string

var page = template.Must(template.New("page").Parse(source))

func main() {
	started := time.Now()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		host, _ := os.Hostname()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page.Execute(w, map[string]string{
			"Dyno":     or(os.Getenv("DYNO"), host),
			"Up":       time.Since(started).Round(time.Second).String(),
			"Go":       runtime.Version(),
			"Request":  or(r.Header.Get("X-Request-Id"), "none"),
			"Greeting": or(os.Getenv("GREETING"), "It runs."),
		})
		fmt.Println("said hello to", or(r.Header.Get("X-Forwarded-For"), r.RemoteAddr))
	})
	port := or(os.Getenv("PORT"), "5000")
	fmt.Println("listening on port", port)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
