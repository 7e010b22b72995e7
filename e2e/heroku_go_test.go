package e2e

import (
	"context"
	"net/http"
	"testing"

	heroku "github.com/heroku/heroku-go/v6"
)

// heroku-go, Heroku's own Go client, makes an app, changes it and destroys it.
func TestHerokuGo(t *testing.T) {
	ctx := context.Background()
	client := heroku.NewService(&http.Client{Transport: &heroku.Transport{BearerToken: shared.Token}})
	client.URL = shared.recorded()
	name := randomName("go")
	app, err := client.AppCreate(ctx, heroku.AppCreateOpts{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.AppDelete(ctx, name) })
	if app.Name != name || app.GitURL == "" || app.WebURL == nil {
		t.Fatalf("created %+v", app)
	}
	value := "bar"
	if _, err := client.ConfigVarUpdate(ctx, name, map[string]*string{"FOO": &value}); err != nil {
		t.Fatal(err)
	}
	if vars, err := client.ConfigVarInfoForApp(ctx, name); err != nil || vars["FOO"] == nil || *vars["FOO"] != "bar" {
		t.Fatalf("config %v, %v", vars, err)
	}
	releases, err := client.ReleaseList(ctx, name, &heroku.ListRange{Field: "version", Max: 1, Descending: true})
	if err != nil || len(releases) != 1 {
		t.Fatalf("releases %v, %v", releases, err)
	}
	if apps, err := client.AppList(ctx, nil); err != nil || len(apps) == 0 {
		t.Fatalf("apps %v, %v", apps, err)
	}
	if _, err := client.AppInfo(ctx, "no-such-"+name); err == nil {
		t.Fatal("an app that is not there was found")
	}
	if account, err := client.AccountInfo(ctx); err != nil || account.Email != shared.Email {
		t.Fatalf("account %+v, %v", account, err)
	}
	if _, err := client.AppDelete(ctx, name); err != nil {
		t.Fatal(err)
	}
}
