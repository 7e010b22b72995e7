package api

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/hoist-sh/hoist"
)

// acceptVersion refuses other versions of the API than 3: `application/
// vnd.heroku+json; version=3`, with any suffix (3.sdk, 3.pipelines, …) and any
// suffix of the media type. No version at all is taken for 3.
func acceptVersion(header string) error {
	for part := range strings.SplitSeq(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || !strings.HasPrefix(media, "application/vnd.heroku") {
			continue
		}
		major, _, _ := strings.Cut(params["version"], ".")
		if major != "3" && major != "" {
			return &hoist.Error{ID: "not_acceptable", Status: http.StatusNotAcceptable,
				Message: fmt.Sprintf("Version %.20q of the API is not served here. Send Accept: application/vnd.heroku+json; version=3", params["version"])}
		}
	}
	return nil
}
