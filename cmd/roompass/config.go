package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// configFile is the --config flag of a command: a YAML file with a key for each
// of that command's other flags, without the dashes. A list is for a flag that
// may be repeated.
//
//	listen: 0.0.0.0:8080
//	token-ttl: 5m
//	origin: [https://app.example, https://staging.example]
type configFile string

var configType = reflect.TypeFor[configFile]()

// BeforeResolve reads the file and puts it below the command line and the
// environment.
func (configFile) BeforeResolve(parsing *kong.Context, at *kong.Path) error {
	// The hook also runs for a ROOMPASS_CONFIG while another command is parsed.
	command := parsing.Selected()
	if command == nil || !slices.Contains(command.Flags, at.Flag) {
		return nil
	}
	path := string(parsing.FlagValue(at.Flag).(configFile))
	if path == "" {
		return usagef("--%s: give the path of a YAML file", at.Flag.Name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--%s: %w; give the path of a YAML file", at.Flag.Name, err)
	}
	settings, err := parseConfig(content, command.Flags)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	parsing.AddResolver(settings)
	return nil
}

// settings is a parsed configuration file: a string or a []any of strings by
// the name of the flag.
type settings map[string]any

// Validate implements [kong.Resolver]. parseConfig has checked the keys; kong
// checks the values as it does those of the command line.
func (settings) Validate(*kong.Application) error { return nil }

// Resolve implements [kong.Resolver]. kong would let a file win over the
// environment.
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	return s[flag.Name], nil
}

// parseConfig reads one YAML document whose keys are the names of flags. Errors
// give the line.
func parseConfig(content []byte, flags []*kong.Flag) (settings, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return settings{}, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one YAML document; keep one")
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return settings{}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: not a mapping; write one \"flag: value\" a line", root.Line)
	}

	found := settings{}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		flag := configurable(flags, key.Value)
		if flag == nil {
			return nil, fmt.Errorf("line %d: %q is not a flag of this command; write a flag's name without its dashes", key.Line, key.Value)
		}
		if _, twice := found[flag.Name]; twice {
			return nil, fmt.Errorf("line %d: %q is here twice; keep one", key.Line, key.Value)
		}
		setting, err := settingOf(value, flag)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", value.Line, key.Value, err)
		}
		found[flag.Name] = setting
	}
	return found, nil
}

// configurable is the flag that a key names, or nil. A file can't name another
// file, nor ask for help.
func configurable(flags []*kong.Flag, key string) *kong.Flag {
	for _, flag := range flags {
		if flag.Name != key || flag.Target.Type() == configType || key == "help" {
			continue
		}
		return flag
	}
	return nil
}

// settingOf is a scalar as it would stand on the command line, or a list of such.
func settingOf(value *yaml.Node, flag *kong.Flag) (any, error) {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return nil, errors.New("has no value; give one, or remove the line")
	case value.Kind == yaml.ScalarNode:
		return value.Value, nil
	case value.Kind == yaml.SequenceNode && flag.IsSlice():
		list := make([]string, 0, len(value.Content))
		for _, element := range value.Content {
			if element.Kind != yaml.ScalarNode || element.Tag == "!!null" {
				return nil, errors.New("a list may hold plain values only")
			}
			list = append(list, element.Value)
		}
		return kong.JoinEscaped(list, flag.Tag.Sep), nil
	case value.Kind == yaml.SequenceNode:
		return nil, errors.New("takes one value, not a list")
	default:
		return nil, errors.New("takes a plain value, not a mapping")
	}
}

// readAtFile gives the content of the file where value is @FILE, without the
// line break at its end, and value itself otherwise. Secrets given so stay out
// of the list of processes.
func readAtFile(flag, value string) (string, error) {
	path, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return value, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("--%s: %w", flag, err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
