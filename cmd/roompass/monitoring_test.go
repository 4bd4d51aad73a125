package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"

	"github.com/roompass/roompass/rooms/redistest"
)

const (
	rulesFile     = "../../deploy/prometheus/roompass.rules.yml"
	rulesTestFile = "../../deploy/prometheus/roompass.rules.test.yml"
	dashboardFile = "../../deploy/grafana/roompass.json"
	runbookFile   = "../../docs/operating.md"
)

// An alert is one of deploy/prometheus.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func readAlerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal([]byte(readText(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// A panel is one of the dashboard of deploy/grafana. Rows are panels too.
type panel struct {
	Type, Title string
	Panels      []panel
	Targets     []struct{ Expr, LegendFormat string }
}

func readDashboard(t *testing.T) (panels []panel, variables []string) {
	t.Helper()
	var file struct {
		Panels     []panel
		Templating struct {
			List []struct{ Query json.RawMessage }
		}
	}
	if err := json.Unmarshal([]byte(readText(t, dashboardFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Templating.List {
		var q struct{ Query string }
		if json.Unmarshal(v.Query, &q) == nil {
			variables = append(variables, q.Query)
		}
	}
	return file.Panels, variables
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// scraped are the labels of each series of a gateway, by its name, and those that Prometheus adds.
type scraped map[string]map[string]bool

// scrape has a gateway do everything once that has a metric, and reads them.
func scrape(t *testing.T) scraped {
	t.Helper()
	app, redis := startApp(t), redistest.Start(t)
	gateway := serveDev(t, append(app.flags(t), "--redis", redis.URL(), "--pod-id", "a", "--lease", "1s",
		"--janus", "ws://127.0.0.1:1", "--janus-optional")...)
	enter(t, gateway, "login-ann", "r")
	redis.Kill()
	eventually(t, "an error of Redis is counted", func() bool {
		_, text := gateway.look(t, "/metrics")
		return strings.Contains(text, "roompass_redis_errors_total{")
	})
	_, text := gateway.look(t, "/metrics")
	read := expfmt.NewTextParser(model.UTF8Validation)
	families, err := read.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all := scraped{}
	for name, family := range families {
		of := map[string]bool{"job": true, "instance": true}
		for _, m := range family.Metric {
			for _, l := range m.Label {
				of[l.GetName()] = true
			}
		}
		with := func(label string) map[string]bool {
			more := maps.Clone(of)
			more[label] = true
			return more
		}
		switch family.GetType() {
		case dto.MetricType_HISTOGRAM:
			all[name+"_bucket"] = with(model.BucketLabel)
		case dto.MetricType_SUMMARY:
			all[name] = with(model.QuantileLabel)
		default:
			all[name] = of
			continue
		}
		all[name+"_sum"], all[name+"_count"] = of, of
	}
	return all
}

// labelsOf returns the labels that the series of an expression have, after a look whether the metrics
// and the labels in it are there.
func (s scraped) labelsOf(t *testing.T, e parser.Node) map[string]bool {
	t.Helper()
	there := func(label string, in map[string]bool) {
		t.Helper()
		if !in[label] {
			t.Errorf("%s: there is no label %q; there are %v", e, label, slices.Sorted(maps.Keys(in)))
		}
	}
	switch e := e.(type) {
	case *parser.VectorSelector:
		of, ok := s[e.Name]
		if !ok {
			t.Errorf("%s: the gateway has no such metric", e)
			return nil
		}
		for _, m := range e.LabelMatchers {
			if m.Name != model.MetricNameLabel {
				there(m.Name, of)
			}
		}
		return of
	case *parser.AggregateExpr:
		of := s.labelsOf(t, e.Expr)
		kept := map[string]bool{}
		if e.Without {
			kept = maps.Clone(of)
		}
		for _, label := range e.Grouping {
			there(label, of)
			kept[label] = !e.Without
		}
		return kept
	case *parser.BinaryExpr:
		left, right := s.labelsOf(t, e.LHS), s.labelsOf(t, e.RHS)
		if left == nil {
			return right
		}
		if m := e.VectorMatching; m != nil && right != nil {
			for _, label := range m.MatchingLabels {
				there(label, left)
				there(label, right)
			}
			// Without "on" or "ignoring" both have to have the same ones, or nothing matches.
			if !m.On && len(m.MatchingLabels) == 0 && !maps.Equal(left, right) {
				t.Errorf("%s: its sides have the labels %v and %v", e, slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(right)))
			}
		}
		return left
	case *parser.Call:
		var of map[string]bool
		for _, arg := range e.Args {
			if is := s.labelsOf(t, arg); is != nil {
				of = is
			}
		}
		if e.Func.Name == "histogram_quantile" {
			there(model.BucketLabel, of)
			of = maps.Clone(of)
			delete(of, model.BucketLabel)
		}
		return of
	case *parser.NumberLiteral, *parser.StringLiteral:
		return nil
	default: // it changes no label
		var of map[string]bool
		for child := range parser.ChildrenIter(e) {
			if is := s.labelsOf(t, child); is != nil {
				of = is
			}
		}
		return of
	}
}

// check looks at a query, and at the labels that a text about its result names.
func (s scraped) check(t *testing.T, query, text string, label *regexp.Regexp) {
	t.Helper()
	parsed, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v", query, err)
		return
	}
	of := s.labelsOf(t, parsed)
	for _, m := range label.FindAllStringSubmatch(text, -1) {
		if !of[m[1]] {
			t.Errorf("%q names the label %q, which %s hasn't", text, m[1], query)
		}
	}
}

var (
	grafanaLabel    = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	prometheusLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	// labelValues is what Grafana asks for a variable's values.
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

func TestDashboardAndRulesAskForWhatIsThere(t *testing.T) {
	t.Parallel()
	is := scrape(t)
	t.Run("rules", func(t *testing.T) {
		for _, a := range readAlerts(t) {
			is.check(t, a.Expr, a.Annotations["summary"]+a.Annotations["description"], prometheusLabel)
		}
	})
	t.Run("dashboard", func(t *testing.T) {
		filled := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h")
		panels, variables := readDashboard(t)
		for _, v := range variables {
			m := labelValues.FindStringSubmatch(v)
			if m == nil {
				t.Errorf("the variable's query %q isn't one that this test knows", v)
				continue
			}
			is.check(t, m[1], "{{"+m[2]+"}}", grafanaLabel)
		}
		queries := 0
		for _, p := range panels {
			for _, q := range append(p.Panels, p) {
				for _, target := range q.Targets {
					queries++
					is.check(t, filled.Replace(target.Expr), target.LegendFormat, grafanaLabel)
				}
			}
		}
		if queries < 20 || len(variables) == 0 {
			t.Errorf("%d queries and %d variables were found", queries, len(variables))
		}
	})
	// The other way: what the gateway has is told of. The list is one of docs/operating.md.
	t.Run("docs", func(t *testing.T) {
		text := readText(t, runbookFile)
		for name := range is {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
			if strings.HasPrefix(name, "roompass_") && !strings.Contains(text, "`"+base+"`") && !strings.Contains(text, "`"+base+"{") {
				t.Errorf("docs/operating.md doesn't list %s", base)
			}
		}
	})
}

func TestTheDashboardBeginsWithThePromise(t *testing.T) {
	panels, _ := readDashboard(t)
	if len(panels) < 5 || panels[0].Type != "row" || !strings.Contains(panels[0].Title, "never expired") {
		t.Fatalf("it begins with %+v", panels)
	}
	text := ""
	for _, p := range panels[1:] {
		if p.Type == "row" {
			break
		}
		for _, target := range p.Targets {
			text += target.Expr
		}
	}
	for _, name := range []string{"roompass_token_lapses_total", "roompass_token_least_remaining_seconds", "roompass_token_push_lateness_seconds"} {
		if !strings.Contains(text, name) {
			t.Errorf("%s isn't at the top", name)
		}
	}
}

// slug is how a heading is named in a link, by the rule that GitHub has.
func slug(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == ' ':
			return r
		}
		return -1
	}, strings.ToLower(heading))
	return strings.ReplaceAll(kept, " ", "-")
}

func TestEachAlertHasARunbookAndATest(t *testing.T) {
	headings := map[string]string{} // what is below, by slug
	text := readText(t, runbookFile)
	parts := regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatchIndex(text, -1)
	for i, at := range parts {
		end := len(text)
		if i+1 < len(parts) {
			end = parts[i+1][0]
		}
		headings[slug(text[at[2]:at[3]])] = text[at[1]:end]
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(readText(t, rulesTestFile)), &tests); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, is := range test.AlertRuleTest {
			fires[is.Alertname] = fires[is.Alertname] || len(is.ExpAlerts) > 0
			quiet[is.Alertname] = quiet[is.Alertname] || len(is.ExpAlerts) == 0
		}
	}
	for _, a := range readAlerts(t) {
		page, heading, _ := strings.Cut(a.Annotations["runbook"], "#")
		below, ok := headings[heading]
		switch {
		case page != "docs/operating.md" || !ok:
			t.Errorf("%s: its runbook %q isn't a heading of docs/operating.md", a.Alert, a.Annotations["runbook"])
		case !strings.Contains(below, a.Alert) && !strings.Contains(below, "1. "):
			t.Errorf("%s: the runbook neither names it nor says what to do", a.Alert)
		}
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: in %s it fires: %v, and doesn't: %v; want both", a.Alert, rulesTestFile, fires[a.Alert], quiet[a.Alert])
		}
	}
}
