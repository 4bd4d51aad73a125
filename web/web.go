// Package web holds what browsers get: the client and the demo page, built from
// the TypeScript beside it and embedded as they are committed.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go tool esbuild client/src/client.ts --bundle --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/client.js
//go:generate go tool esbuild client/src/janus.ts --bundle --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/janus.js
//go:generate go tool esbuild client/src/react.ts --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/react.js
//go:generate node_modules/.bin/tsc -p tsconfig.types.json --outDir dist/
//go:generate go tool esbuild demo/demo.ts --bundle --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/demo.js
//go:generate go tool esbuild demo/demo.css --minify --outfile=dist/demo.css
//go:generate cp demo/index.html demo/favicon.svg dist/

//go:embed dist/*.js dist/*.css dist/*.html dist/*.svg
var dist embed.FS

// Client is client.js, one ES module.
func Client() []byte {
	text, err := dist.ReadFile("dist/client.js")
	if err != nil {
		panic("web: " + err.Error()) // it is embedded
	}
	return text
}

// Demo is the files of the demo page, index.html at the root.
func Demo() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("web: " + err.Error()) // dist is a valid path
	}
	return files
}
