package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

//go:generate go test -count=1 -run ^TestTheReferenceIsCurrent$ . -update

var update = flag.Bool("update", false, "write docs/configuration.md")

const referenceFile = "../../docs/configuration.md"

// flagTable is a table of flags in docs/configuration.md, with the command that it is about. Which flags there are,
// what they take and their defaults come from the grammar. The last column, rows with a title alone, the
// order, and a default that isn't in the grammar ("fits the key") are written there by hand, and stay.
var (
	flagTable = regexp.MustCompile(`(?s)<!-- flags of roompass ([a-z ]+) -->\n(.*?)<!-- end of flags -->\n`)
	flagName  = regexp.MustCompile("^`--([a-z-]+)")
)

// cellsOf are those of a table's row. In them | is written \|.
func cellsOf(row string) []string {
	const escaped = "\x00"
	row = strings.ReplaceAll(strings.TrimSpace(row), `\|`, escaped)
	cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(row, "|"), "|"), "|")
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(cell), escaped, `\|`)
	}
	return cells
}

// reference returns the page as it should be.
func reference(t *testing.T, page string) string {
	t.Helper()
	parser, err := kong.New(&commandLine{}, kong.DefaultEnvars("ROOMPASS"))
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]bool{}
	page = flagTable.ReplaceAllStringFunc(page, func(table string) string {
		m := flagTable.FindStringSubmatch(table)
		tables[m[1]] = true
		var node *kong.Node
		for _, leaf := range parser.Model.Leaves(true) {
			if leaf.Path() == m[1] {
				node = leaf
			}
		}
		if node == nil {
			t.Errorf("there is no command roompass %s", m[1])
			return table
		}
		return "<!-- flags of roompass " + m[1] + " -->\n" + fillTable(node.Flags, m[2]) + "<!-- end of flags -->\n"
	})
	for _, leaf := range parser.Model.Leaves(true) {
		if len(leaf.Flags) > 0 && !tables[leaf.Path()] {
			t.Errorf("roompass %s has no table", leaf.Path())
		}
	}
	return page
}

// fillTable makes a table anew from what was in it. A flag that wasn't comes at the end; a row
// that says nothing gets the flag's help.
func fillTable(flags []*kong.Flag, table string) string {
	left := map[string]*kong.Flag{}
	for _, f := range flags {
		left[f.Name] = f
	}
	var out strings.Builder
	for line := range strings.Lines(table) {
		cells := cellsOf(line)
		m := flagName.FindStringSubmatch(cells[0])
		if m == nil {
			out.WriteString(line)
			continue
		}
		f := left[m[1]]
		if f == nil || len(cells) != 3 {
			continue // it is no flag any more, or is there twice
		}
		delete(left, m[1])
		out.WriteString(flagRow(f, cells[0], cells[1], cells[2]))
	}
	for _, f := range flags {
		if left[f.Name] != nil {
			out.WriteString(flagRow(f, "", "", ""))
		}
	}
	return out.String()
}

func flagRow(f *kong.Flag, before, otherwise, prose string) string {
	takes := ""
	switch kind := f.Target.Type(); {
	case f.IsBool():
	case kind == reflect.TypeFor[time.Duration](), kind == reflect.TypeFor[*time.Duration]():
		takes = " D"
	case kind.Kind() == reflect.Int, kind.Kind() == reflect.Float64:
		takes = " N"
		if _, word, ok := strings.Cut(strings.Trim(before, "`"), " "); ok {
			takes = " " + word // its unit
		}
	default:
		takes = " TEXT"
		if _, word, ok := strings.Cut(strings.Trim(before, "`"), " "); ok {
			takes = " " + word
		} else if f.PlaceHolder != "" {
			takes = " " + strings.ReplaceAll(f.PlaceHolder, "|", `\|`)
		}
	}
	if prose == "" {
		prose = strings.ReplaceAll(f.Help, "|", `\|`)
	}
	is := otherwise
	switch {
	case f.Required:
		is = "required"
	case f.Default != "":
		is = "`" + f.Default + "`"
	case f.IsBool():
		is = "off"
	}
	if is == "" {
		return fmt.Sprintf("| `--%s%s` | | %s |\n", f.Name, takes, prose)
	}
	return fmt.Sprintf("| `--%s%s` | %s | %s |\n", f.Name, takes, is, prose)
}

func TestTheReferenceIsCurrent(t *testing.T) {
	page := readText(t, referenceFile)
	want := reference(t, page)
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(page, "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("docs/configuration.md isn't what the flags are: run go generate ./cmd/roompass\n%s", diff)
	}
}

func TestTheReferenceFollowsTheFlags(t *testing.T) {
	var grammar struct {
		Do struct {
			Bits  int           `default:"2048" help:"Size."`
			Wait  time.Duration `default:"5m" help:"How long."`
			Key   string        `required:"" help:"A key."`
			Loud  bool          `help:"Be loud."`
			Added string        `placeholder:"A|B" help:"New: a|b."`
			Free  string        `help:"As you like."`
		} `cmd:""`
	}
	parser, err := kong.New(&grammar)
	if err != nil {
		t.Fatal(err)
	}
	got := fillTable(parser.Model.Children[0].Flags, `| flag | default | |
|---|---|---|
| `+"`--bits N` | `1024`"+` | by hand, with [a link](x) |
| **more** | | |
| `+"`--gone TEXT`"+` | | is no flag any more |
| `+"`--key FILE\\|DIR`"+` | | a \| b |
| `+"`--free WORD`"+` | fits the key | by hand |
`)
	want := `| flag | default | |
|---|---|---|
| ` + "`--bits N` | `2048`" + ` | by hand, with [a link](x) |
| **more** | | |
| ` + "`--key FILE\\|DIR`" + ` | required | a \| b |
| ` + "`--free WORD`" + ` | fits the key | by hand |
| ` + "`--wait D` | `5m`" + ` | How long. |
| ` + "`--loud`" + ` | off | Be loud. |
| ` + "`--added A\\|B`" + ` | | New: a\|b. |
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
