package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

// formationUpdate is one process type to change; a nil field stays as it is.
// Quantity is a number or, relative, "+1" or "-1".
type formationUpdate struct {
	Type     string  `json:"type"`
	Quantity *string `json:"quantity,omitempty"`
	Size     *string `json:"size,omitempty"`
}

// MarshalJSON writes an absolute quantity as the number it is.
func (u formationUpdate) MarshalJSON() ([]byte, error) {
	text := `{"type":` + strconv.Quote(u.Type)
	if u.Quantity != nil {
		q := *u.Quantity
		if _, err := strconv.ParseUint(q, 10, 31); err != nil {
			q = strconv.Quote(q)
		}
		text += `,"quantity":` + q
	}
	if u.Size != nil {
		text += `,"size":` + strconv.Quote(*u.Size)
	}
	return []byte(text + "}"), nil
}

var (
	scaleArg     = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_-]*)([=+-]\+?)([0-9]{1,6})(?::([A-Za-z0-9-]+))?$`)
	scaleTypeArg = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_-]*)=([A-Za-z][A-Za-z0-9-]*)$`)
)

// parseScale reads Heroku's forms: web=2, web=2:Basic, web+1, web-1.
func parseScale(args []string) ([]formationUpdate, error) {
	var updates []formationUpdate
	for _, arg := range args {
		m := scaleArg.FindStringSubmatch(arg)
		if m == nil || len(m[2]) > 1 && m[2] != "=+" {
			return nil, usagef("%q is not a scale. Give web=2, web+1, web-1 or web=2:Standard-1X.", arg)
		}
		n, err := strconv.Atoi(m[3])
		if err != nil {
			return nil, usagef("%q: %q is not a number.", arg, m[3])
		}
		quantity := strconv.Itoa(n)
		if sign := strings.TrimPrefix(m[2], "="); sign != "" {
			quantity = sign + quantity
		}
		u := formationUpdate{Type: m[1], Quantity: &quantity}
		if m[4] != "" {
			u.Size = &m[4]
		}
		if slices.ContainsFunc(updates, func(o formationUpdate) bool { return o.Type == u.Type }) {
			return nil, usagef("%s is given twice.", u.Type)
		}
		updates = append(updates, u)
	}
	return updates, nil
}

type psScaleCommand struct {
	target
	json bool
}

func (c *CLI) psScale() *cobra.Command {
	s := &psScaleCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "ps:scale [TYPE=QUANTITY[:SIZE]...]", Short: "Set how many dynos of each type run",
		Aliases: []string{"scale", "dyno:scale"},
		Long: `Set how many dynos of each type run: web=2, or relative, web+1, web-1; with
a size, web=2:Standard-1X. Without arguments, show how many there should be.`,
		Example: "$ hoist ps:scale web=2 worker+1", Args: args(cobra.ArbitraryArgs),
		ValidArgsFunction: s.completeScale,
	}
	cmd.RunE = s.on(s.scale)
	s.flags(cmd)
	jsonFlag(cmd, &s.json)
	return cmd
}

func (s *psScaleCommand) scale(ctx context.Context, args []string) error {
	formation, err := list[processType](ctx, s.api, s.path("formation"), "", 0)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return s.show(formation)
	}
	updates, err := parseScale(args)
	if err != nil {
		return err
	}
	for _, u := range updates {
		if err := s.known(u.Type, formation); err != nil {
			return err
		}
	}
	var scaled []item[processType]
	err = s.doing("Scaling dynos", func() (string, error) {
		body := map[string]any{"updates": updates}
		if err := s.api.patch(ctx, s.path("formation"), body, &scaled); err != nil {
			return "", err
		}
		var now []string
		for _, p := range scaled {
			if slices.ContainsFunc(updates, func(u formationUpdate) bool { return u.Type == p.V.Type }) {
				now = append(now, fmt.Sprintf("%s at %d:%s", p.V.Type, p.V.Quantity, p.V.Size))
			}
		}
		return "now running " + strings.Join(now, ", "), nil
	})
	if err == nil && s.json {
		return s.printJSON(scaled)
	}
	return err
}

func (s *psScaleCommand) show(formation []item[processType]) error {
	if s.json {
		return s.printJSON(formation)
	}
	if len(formation) == 0 {
		s.say("%s has no process types yet. Deploy it first: git push hoist main", s.app)
		return nil
	}
	var words []string
	for _, p := range formation {
		words = append(words, fmt.Sprintf("%s=%d:%s", p.V.Type, p.V.Quantity, p.V.Size))
	}
	s.print("%s", strings.Join(words, " "))
	return nil
}

// known makes sure that the app has a process type, and names those it has.
func (t *target) known(name string, formation []item[processType]) error {
	var types []string
	for _, p := range formation {
		types = append(types, p.V.Type)
	}
	switch near := nearest(name, types); {
	case slices.Contains(types, name):
		return nil
	case len(types) == 0:
		return fmt.Errorf("%s has no process types yet. Deploy it first: git push hoist main", t.app)
	case near != "":
		return fmt.Errorf("%s has no process type %s.\nDid you mean %s?", t.app, name, near)
	default:
		return fmt.Errorf("%s has no process type %s. Its Procfile names %s.", t.app, name, strings.Join(types, ", "))
	}
}

type psTypeCommand struct {
	target
	json bool
}

func (c *CLI) psType() *cobra.Command {
	p := &psTypeCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "ps:type [TYPE=SIZE...]", Short: "Show or set the size of dynos", Aliases: []string{"ps:resize", "resize", "dyno:resize"},
		Example: "$ hoist ps:type\n$ hoist ps:type web=Standard-2X", Args: args(cobra.ArbitraryArgs),
		ValidArgsFunction: p.completeResize,
	}
	cmd.RunE = p.on(p.run)
	p.flags(cmd)
	jsonFlag(cmd, &p.json)
	return cmd
}

func (p *psTypeCommand) run(ctx context.Context, args []string) error {
	formation, err := list[processType](ctx, p.api, p.path("formation"), "", 0)
	if err != nil {
		return err
	}
	var updates []formationUpdate
	for _, arg := range args {
		m := scaleTypeArg.FindStringSubmatch(arg)
		if m == nil {
			return usagef("%q is not a size for a type. Give web=Standard-2X.", arg)
		}
		if err := p.known(m[1], formation); err != nil {
			return err
		}
		updates = append(updates, formationUpdate{Type: m[1], Size: &m[2]})
	}
	if len(updates) > 0 {
		err := p.doing("Resizing dynos", func() (string, error) {
			return "", p.api.patch(ctx, p.path("formation"), map[string]any{"updates": updates}, &formation)
		})
		if err != nil {
			return err
		}
		if formation, err = list[processType](ctx, p.api, p.path("formation"), "", 0); err != nil {
			return err
		}
	}
	if p.json {
		return p.printJSON(formation)
	}
	if len(formation) == 0 {
		p.say("%s has no process types yet. Deploy it first: git push hoist main", p.app)
		return nil
	}
	rows := [][]string{{"Type", "Size", "Quantity"}, {"────", "────", "────────"}}
	for _, t := range formation {
		rows = append(rows, []string{t.V.Type, t.V.Size, strconv.Itoa(t.V.Quantity)})
	}
	p.columns(rows)
	return nil
}

// explainDyno adds to "not found" the dyno that was probably meant.
func (t *target) explainDyno(ctx context.Context, err error, args []string) error {
	if missing := (noSuchApp{}); !errors.Is(err, hoist.ErrNotFound) || len(args) == 0 || errors.As(err, &missing) {
		return err
	}
	near := nearest(args[0], t.dynoNames(ctx))
	if near == "" || near == args[0] {
		return fmt.Errorf("%s has no dyno %s. `hoist ps` lists what runs.", t.app, args[0])
	}
	return fmt.Errorf("%s has no dyno %s.\nDid you mean %s?", t.app, args[0], near)
}

func (t *target) dynoNames(ctx context.Context) []string {
	dynos, err := list[dyno](ctx, t.api, t.path("dynos"), "", 0)
	if err != nil {
		return nil
	}
	names := typesOf(dynos)
	for _, d := range dynos {
		names = append(names, d.V.Name)
	}
	return names
}
