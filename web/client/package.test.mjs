// What the package promises: its size, its entries, and types that are current.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const web = fileURLToPath(new URL("..", import.meta.url));
const read = (name) => readFileSync(join(web, name), "utf8");
const manifest = JSON.parse(read("package.json"));

test("the client is one module of at most 5 KB, minified and gzipped", () => {
  const size = gzipSync(read("dist/client/client.js"), { level: 9 }).length;
  assert.ok(size <= 5 * 1024, `dist/client/client.js is ${size} bytes`);
});

test("nothing is imported but React, and the client by what is beside it", () => {
  const imports = (name) => [...read(`dist/client/${name}.js`).matchAll(/(?:from|import\s*\(?)\s*"([^"]+)"/g)].map(([, what]) => what);
  assert.deepEqual(imports("client"), []);
  assert.deepEqual(imports("janus"), []);
  assert.deepEqual(imports("react"), ["react", "./client.js"]);
});

test("each entry has its code and its types, and is packed", async () => {
  for (const [entry, { types, default: code }] of Object.entries(manifest.exports)) {
    for (const file of [types, code]) {
      assert.ok(read(file).length > 0, `${entry}: ${file}`);
      assert.ok(manifest.files.some((folder) => file.startsWith(`./${folder}/`)), `${entry}: ${file} isn't packed`);
    }
  }
  assert.equal(typeof (await import("@roompass/client")).connect, "function");
  assert.equal(typeof (await import("@roompass/client/janus")).bindJanus, "function");
});

test("the types in dist are those of the source", () => {
  const out = mkdtempSync(join(tmpdir(), "roompass-types-"));
  try {
    const tsc = join(web, "node_modules", "typescript", "bin", "tsc");
    execFileSync(process.execPath, [tsc, "-p", join(web, "tsconfig.types.json"), "--outDir", out]);
    const isTypes = (name) => name.endsWith(".d.ts");
    assert.deepEqual(readdirSync(join(web, "dist/client")).filter(isTypes), readdirSync(out).filter(isTypes));
    for (const name of readdirSync(out)) {
      assert.equal(read(`dist/client/${name}`), readFileSync(join(out, name), "utf8"), `dist/client/${name} is old: run make generate`);
    }
  } finally {
    rmSync(out, { recursive: true });
  }
});
