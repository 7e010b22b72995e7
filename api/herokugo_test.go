package api

import (
	"context"
	"net/http"
	"testing"

	heroku "github.com/heroku/heroku-go/v6"
	"github.com/hoist-sh/hoist"
)

func TestHerokusGoClientWorksUnmodified(t *testing.T) {
	e := start(t)
	ctx := context.Background()
	h := heroku.NewService(&http.Client{Transport: e.schema.Transport(&heroku.Transport{BearerToken: e.token})})
	h.URL = e.url

	account, err := h.AccountInfo(ctx)
	if err != nil || account.Email != e.email {
		t.Fatal(account, err)
	}
	app, err := h.AppCreate(ctx, heroku.AppCreateOpts{Name: heroku.String("go-client"), Region: heroku.String("local")})
	if err != nil || app.Name != "go-client" || app.Owner.Email != e.email {
		t.Fatal(app, err)
	}
	vars, err := h.ConfigVarUpdate(ctx, app.ID, map[string]*string{"KEY": heroku.String("value")})
	if err != nil || *vars["KEY"] != "value" {
		t.Fatal(vars, err)
	}
	slug, err := h.SlugCreate(ctx, app.ID, heroku.SlugCreateOpts{ProcessTypes: map[string]string{"web": "./web"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, slug.Blob.URL, "hsqs")
	release, err := h.ReleaseCreate(ctx, app.ID, heroku.ReleaseCreateOpts{Slug: slug.ID})
	if err != nil || release.Version != 3 {
		t.Fatal(release, err)
	}
	releases, err := h.ReleaseList(ctx, app.ID, &heroku.ListRange{Field: "version", Descending: true, Max: 1})
	if err != nil || len(releases) != 1 || releases[0].Version != 3 {
		t.Fatal(releases, err)
	}
	quantity := 2
	formation, err := h.FormationUpdate(ctx, app.ID, "web", heroku.FormationUpdateOpts{Quantity: &quantity})
	if err != nil || formation.Quantity != 2 || formation.Size != hoist.DefaultSize {
		t.Fatal(formation, err)
	}
	dyno, err := h.DynoCreate(ctx, app.ID, heroku.DynoCreateOpts{Command: "bash", Attach: heroku.Bool(true)})
	if err != nil || dyno.AttachURL == nil {
		t.Fatal(dyno, err)
	}
	if _, err := h.LogSessionCreate(ctx, app.ID, heroku.LogSessionCreateOpts{Tail: heroku.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SourceCreateDeprecated(ctx, app.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.AppInfo(ctx, "no-such-app"); err == nil {
		t.Fatal("no error")
	}
	if _, err := h.AppDelete(ctx, app.ID); err != nil {
		t.Fatal(err)
	}
}
