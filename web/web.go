// Package web holds what browsers get: the client, the demo page and the
// operator's console, built from the TypeScript beside it and embedded as they
// are committed.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go tool esbuild client/src/client.ts --bundle --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/client/client.js
//go:generate go tool esbuild client/src/janus.ts --bundle --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/client/janus.js
//go:generate go tool esbuild client/src/react.ts --format=esm --target=es2022 --minify --legal-comments=none --outfile=dist/client/react.js
//go:generate node_modules/.bin/tsc -p tsconfig.types.json --outDir dist/client/
//go:generate go tool esbuild demo/demo.ts demo/demo.css --bundle --format=esm --target=es2022 --minify --legal-comments=none --outdir=dist/demo/
//go:generate go tool esbuild console/console.ts console/console.css --bundle --format=esm --target=es2022 --minify --legal-comments=none --outdir=dist/console/
//go:generate cp demo/index.html favicon.svg dist/demo/
//go:generate cp console/index.html favicon.svg dist/console/

//go:embed dist/client/*.js dist/demo dist/console
var dist embed.FS

// Client is client.js, janus.js and react.js, the client's entries: one ES module each.
func Client() fs.FS { return folder("client") }

// Demo is the demo page, index.html, and what it asks for.
func Demo() fs.FS { return folder("demo") }

// Console is the operator's console, index.html, and what it asks for.
func Console() fs.FS { return folder("console") }

func folder(name string) fs.FS {
	files, err := fs.Sub(dist, "dist/"+name)
	if err != nil {
		panic("web: " + err.Error()) // the path is valid
	}
	return files
}
