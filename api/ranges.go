package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
)

// Bounds of a page of a list (https://devcenter.heroku.com/articles/platform-api-reference#ranges).
const (
	pageDefault = 200
	pageMost    = 1000
)

// listRange is a parsed Range header: `FIELD [START]..[END]; max=N, order=desc`;
// a "]" before START leaves START itself out.
type listRange struct {
	field     string
	start     string
	exclusive bool
	end       string
	max       int
	desc      bool
}

func parseRange(header string) (listRange, error) {
	wrong := func(what string) (listRange, error) {
		return listRange{}, &hoist.Error{ID: "bad_request", Status: http.StatusBadRequest,
			Message: fmt.Sprintf("Range: %s. It looks like `id ..; order=desc,max=10`.", what)}
	}
	r := listRange{max: pageDefault}
	spec, options, _ := strings.Cut(header, ";")
	spec = strings.TrimSpace(spec)
	field, bounds, ok := strings.Cut(spec, " ")
	r.field = field
	if !ok && strings.Contains(spec, "..") {
		return wrong("the name of the field is missing")
	}
	if ok {
		start, end, ok := strings.Cut(strings.TrimSpace(bounds), "..")
		if !ok {
			return wrong("there is no `..`")
		}
		r.start, r.exclusive = strings.CutPrefix(start, "]")
		r.end = end
	}
	for option := range strings.FieldsFuncSeq(options, func(c rune) bool { return c == ',' || c == ';' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch strings.TrimSpace(name) {
		case "max":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return wrong("max must be a number from 1 to " + strconv.Itoa(pageMost))
			}
			r.max = min(n, pageMost)
		case "order":
			if value != "asc" && value != "desc" {
				return wrong("order must be asc or desc")
			}
			r.desc = value == "desc"
		case "":
		default:
			return wrong(fmt.Sprintf("%.20q is not an option; there are max and order", name))
		}
	}
	return r, nil
}

// sortKey is a field by which a list can be sorted and cut. Its values are
// unique in the list. Numbers are compared as such.
type sortKey[T any] struct {
	name  string
	value func(T) string
}

// page sorts a list and returns the page of it that the Range header asks for,
// 206 and with Next-Range if there is more. The first key is the default.
func page[T any](c *call, list []T, show func(T) any, keys ...sortKey[T]) (any, error) {
	r, err := parseRange(c.Header.Get("Range"))
	if err != nil {
		return nil, err
	}
	var fields []string
	key := keys[0]
	known := r.field == "" || strings.HasPrefix(r.field, "bytes=")
	for _, k := range keys {
		fields = append(fields, k.name)
		if k.name == r.field {
			key, known = k, true
		}
	}
	if !known {
		return nil, badRequest(fmt.Sprintf("Range: this list cannot be sorted by %.40q, only by %s.", r.field, strings.Join(fields, ", ")))
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int { return r.compare(key.value(a), key.value(b)) })
	list = slices.DeleteFunc(list, func(v T) bool {
		value := key.value(v)
		before := r.start != "" && r.compare(value, r.start) < 0
		left := r.exclusive && value == r.start
		after := r.end != "" && r.compare(value, r.end) > 0
		return before || left || after
	})
	answer := reply{status: http.StatusOK, header: http.Header{"Accept-Ranges": {strings.Join(fields, ", ")}}}
	if len(list) > r.max {
		list = list[:r.max]
		order := ""
		if r.desc {
			order = ",order=desc"
		}
		answer.status = http.StatusPartialContent
		answer.header.Set("Next-Range", fmt.Sprintf("%s ]%s..%s; max=%d%s", key.name, key.value(list[r.max-1]), r.end, r.max, order))
	}
	shown := make([]any, len(list))
	for i, v := range list {
		shown[i] = show(v)
	}
	if len(list) > 0 {
		answer.header.Set("Content-Range", fmt.Sprintf("%s %s..%s", key.name, key.value(list[0]), key.value(list[len(list)-1])))
	}
	answer.body = shown
	return answer, nil
}

// compare orders two values of the sort key in the order asked for.
func (r listRange) compare(a, b string) int {
	order := cmp.Compare(a, b)
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX == nil && errY == nil {
		order = cmp.Compare(x, y)
	}
	if r.desc {
		return -order
	}
	return order
}
