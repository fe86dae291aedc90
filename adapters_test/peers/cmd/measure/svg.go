package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// drawing collects the elements of an SVG file.
type drawing struct {
	width, height float64
	body          strings.Builder
}

const style = `text{font:12px system-ui,sans-serif;fill:#222}.title{font-size:15px;font-weight:600}.note{fill:#666;font-size:11px}.grid{stroke:#ddd}.axis{stroke:#888}.whisker{stroke:#222}`

// palette tells ours, in two blues, from the others.
var palette = map[string]string{"ours": "#1f5fbf", "ours2": "#7fb0ee", "bare": "#bbbbbb", "p0": "#d9822b", "p1": "#b04a4a", "p2": "#7a5ea8", "p3": "#4a8f5b"}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.body, format+"\n", args...) }

func (d *drawing) text(x, y float64, class, anchor, s string) {
	d.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

func (d *drawing) String() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f"><style>%s</style><rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, d.width, d.height, d.width, d.height, style, d.body.String())
}

// scale maps values to places on an axis, logarithmically.
type scale struct{ low, high, from, to float64 }

func logScale(values []float64, from, to float64) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	return scale{math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)-1e-9)), from, to}
}

func (s scale) at(v float64) float64 {
	return s.from + (s.to-s.from)*math.Log(v/s.low)/math.Log(s.high/s.low)
}

// ticks are the powers of ten on the axis.
func (s scale) ticks() (out []float64) {
	for v := s.low; v <= s.high*1.0001; v *= 10 {
		out = append(out, v)
	}
	return out
}

// bar is one row of a chart of bars.
type bar struct {
	label, color string
	value        estimate
}

// bars draws groups of horizontal bars on a logarithmic axis.
func bars(title, note string, groups []string, rows map[string][]bar, unit func(float64) string) string {
	const left, right, rowHeight, top = 230.0, 90.0, 17.0, 62.0
	d := &drawing{width: 860}
	var values []float64
	n := 0.0
	for _, g := range groups {
		for _, b := range rows[g] {
			values = append(values, b.value.low, b.value.high)
			n++
		}
	}
	d.height = top + n*rowHeight + float64(len(groups))*30 + 24
	d.text(14, 24, "title", "start", title)
	d.text(14, 42, "note", "start", note)
	if len(values) == 0 {
		d.text(14, 80, "note", "start", "not measured")
		return d.String()
	}
	x := logScale(values, left, d.width-right)
	for _, t := range x.ticks() {
		d.line(x.at(t), top, x.at(t), d.height-24, "grid")
		d.text(x.at(t), d.height-8, "note", "middle", unit(t))
	}
	y := top
	for _, g := range groups {
		y += 22
		d.text(14, y, "", "start", g)
		y += 8
		for _, b := range rows[g] {
			d.text(left-8, y+12, "", "end", b.label)
			if b.value.ok() {
				d.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, left, y+2, max(1, x.at(b.value.mid)-left), rowHeight-4, b.color)
				d.line(x.at(b.value.low), y+rowHeight/2, x.at(b.value.high), y+rowHeight/2, "whisker")
				d.text(x.at(b.value.high)+6, y+12, "", "start", unit(b.value.mid))
			}
			y += rowHeight
		}
	}
	return d.String()
}

// curve is one line of a plot.
type curve struct {
	label, color string
	dashed       bool
	x, y         []float64
}

// curves draws lines over named places or numbers, both axes logarithmic
// unless the places are named.
func curves(title, note string, names []string, cs []curve, xUnit, yUnit func(float64) string) string {
	const left, right, top, bottom = 70.0, 300.0, 62.0, 40.0
	d := &drawing{width: 920, height: 420}
	d.text(14, 24, "title", "start", title)
	d.text(14, 42, "note", "start", note)
	var xs, ys []float64
	for _, c := range cs {
		xs, ys = append(xs, c.x...), append(ys, c.y...)
	}
	if len(ys) == 0 {
		d.text(14, 80, "note", "start", "not measured")
		return d.String()
	}
	y := logScale(ys, d.height-bottom, top)
	place := func(v float64) float64 {
		return left + v*(d.width-left-right)/float64(max(1, len(names)-1))
	}
	if names == nil {
		x := logScale(xs, left, d.width-right)
		place = x.at
		for _, t := range x.ticks() {
			d.line(x.at(t), top, x.at(t), d.height-bottom, "grid")
			d.text(x.at(t), d.height-bottom+18, "note", "middle", xUnit(t))
		}
	}
	for i, name := range names {
		d.line(place(float64(i)), top, place(float64(i)), d.height-bottom, "grid")
		d.text(place(float64(i)), d.height-bottom+18, "note", "middle", name)
	}
	for _, t := range y.ticks() {
		d.line(left, y.at(t), d.width-right, y.at(t), "grid")
		d.text(left-8, y.at(t)+4, "note", "end", yUnit(t))
	}
	for i, c := range cs {
		var points []string
		for j := range c.x {
			points = append(points, fmt.Sprintf("%.1f,%.1f", place(c.x[j]), y.at(c.y[j])))
		}
		dash := ""
		if c.dashed {
			dash = ` stroke-dasharray="5 4"`
		}
		d.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, strings.Join(points, " "), c.color, dash)
		ly := top + 10 + float64(i)*20
		lx := d.width - right + 16
		d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"%s/>`, lx, ly, lx+24, ly, c.color, dash)
		d.text(lx+30, ly+4, "", "start", c.label)
	}
	return d.String()
}

// duration prints nanoseconds.
func duration(ns float64) string {
	switch {
	case ns >= 1e9:
		return number(ns/1e9) + " s"
	case ns >= 1e6:
		return number(ns/1e6) + " ms"
	case ns >= 1e3:
		return number(ns/1e3) + " µs"
	}
	return number(ns) + " ns"
}
