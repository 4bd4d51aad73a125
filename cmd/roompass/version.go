package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// version is set when linking: -ldflags "-X main.version=v1.2.3". Where it
// isn't, as with go install, the build's own record stands in.
var version string

// buildVersion is the version of this binary: "v1.2.3", a revision, or "devel".
func buildVersion() string {
	if version != "" {
		return version
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := build.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" && setting.Value != "" {
			return setting.Value
		}
	}
	return "devel"
}

// versionLine is what both --version and the version command print.
func versionLine() string {
	return fmt.Sprintf("roompass %s %s %s/%s", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionFlag is --version: it wins over whatever else the line says.
type versionFlag bool

// BeforeReset prints the version and ends, before anything is validated.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintln(app.Stdout, versionLine())
	app.Exit(exitDone)
	return nil
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(io stdio) error {
	_, err := fmt.Fprintln(io.out, versionLine())
	return err
}
