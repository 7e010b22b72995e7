package api

import (
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
)

const region = hoist.Region

// epoch is the age of what has always been there.
var epoch = timestamp(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

type stackJSON struct {
	CreatedAt timestamp `json:"created_at"`
	Default   bool      `json:"default"`
	ID        hoist.ID  `json:"id"`
	Name      string    `json:"name"`
	State     string    `json:"state"`
	UpdatedAt timestamp `json:"updated_at"`
}

type regionJSON struct {
	Country        string    `json:"country"`
	CreatedAt      timestamp `json:"created_at"`
	Description    string    `json:"description"`
	ID             hoist.ID  `json:"id"`
	Locale         string    `json:"locale"`
	Name           string    `json:"name"`
	PrivateCapable bool      `json:"private_capable"`
	Provider       struct {
		Name   string `json:"name"`
		Region string `json:"region"`
	} `json:"provider"`
	UpdatedAt timestamp `json:"updated_at"`
}

type sizeJSON struct {
	Architecture     string    `json:"architecture"`
	Compute          int       `json:"compute"`
	Cost             *struct{} `json:"cost"`
	Dedicated        bool      `json:"dedicated"`
	Generation       named     `json:"generation"`
	ID               hoist.ID  `json:"id"`
	Memory           float64   `json:"memory"` // gigabytes
	Name             string    `json:"name"`
	PreciseDynoUnits float64   `json:"precise_dyno_units"`
	PrivateSpaceOnly bool      `json:"private_space_only"`
}

func shownAsIs[T any](v T) any { return v }

// platformRoutes serve what is the same for all: stack, region, dyno sizes.
func (s *Server) platformRoutes(on func(string, handler), onApp func(string, string, appHandler)) {
	stack := stackJSON{epoch, true, constantID("stack", s.Stack), s.Stack, "public", epoch}
	stacks := func(c *call) (any, error) {
		return page(c, []stackJSON{stack}, shownAsIs,
			sortKey[stackJSON]{"name", func(v stackJSON) string { return v.Name }},
			sortKey[stackJSON]{"id", func(v stackJSON) string { return v.ID }})
	}
	on("GET /stacks", stacks)
	on("GET /stacks/{stack}", func(c *call) (any, error) {
		if name := c.PathValue("stack"); name != stack.Name && name != stack.ID {
			return nil, hoist.NotFound("stack")
		}
		return stack, nil
	})
	onApp("GET", "/available-stacks", func(c *call, _ hoist.App) (any, error) { return stacks(c) })

	here := regionJSON{
		Country: "Here", CreatedAt: epoch, Description: "This machine", ID: constantID("region", region),
		Locale: "Here", Name: region, UpdatedAt: epoch,
	}
	here.Provider.Name, here.Provider.Region = "hoist", region
	on("GET /regions", func(c *call) (any, error) {
		return page(c, []regionJSON{here}, shownAsIs,
			sortKey[regionJSON]{"name", func(v regionJSON) string { return v.Name }},
			sortKey[regionJSON]{"id", func(v regionJSON) string { return v.ID }})
	})
	on("GET /regions/{region}", func(c *call) (any, error) {
		if name := c.PathValue("region"); name != here.Name && name != here.ID {
			return nil, hoist.NotFound("region")
		}
		return here, nil
	})

	sizes := []sizeJSON{}
	for _, size := range hoist.Sizes {
		sizes = append(sizes, sizeJSON{
			Architecture: "x86_64", Compute: size.CPUShare / 100, Generation: refTo("generation", "cedar"),
			ID: constantID("size", size.Name), Memory: float64(size.Memory) / (1 << 30), Name: size.Name,
			PreciseDynoUnits: float64(size.CPUShare) / 100,
		})
	}
	list := func(c *call) (any, error) {
		return page(c, sizes, shownAsIs,
			sortKey[sizeJSON]{"name", func(v sizeJSON) string { return v.Name }},
			sortKey[sizeJSON]{"id", func(v sizeJSON) string { return v.ID }})
	}
	on("GET /dyno-sizes", list)
	onApp("GET", "/available-dyno-sizes", func(c *call, _ hoist.App) (any, error) { return list(c) })
	on("GET /dyno-sizes/{size}", func(c *call) (any, error) {
		known, err := sizeNamed(c.PathValue("size"))
		i := slices.IndexFunc(sizes, func(v sizeJSON) bool { return v.Name == known.Name })
		if err != nil || i < 0 {
			return nil, hoist.NotFound("dyno size")
		}
		return sizes[i], nil
	})
}
