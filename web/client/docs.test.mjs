// What docs/client.md shows is held to the types that are published.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url));

/** What the page's code takes for granted. */
const given = `
  declare const adapter: { setJoinToken(token: string): void; setClientId(id: string): void };
  declare const memberId: string;
  declare const WS: unknown;
  declare const gateway: import("@roompass/client").Gateway;
  declare function mesh(room: import("@roompass/client").Room, meet: (member: import("@roompass/client").Member, connection: RTCPeerConnection, channel: RTCDataChannel) => void): () => void;
  declare function show(member: import("@roompass/client").Member, stream: MediaStream): void;
  declare function fetchLogin(): Promise<string>;
  declare function fetchToken(): Promise<string>;
  declare function expiryOf(token: string): number;
`;

test("the code in docs/client.md fits the types", () => {
  const text = readFileSync(join(web, "../docs/client.md"), "utf8");
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.ok(blocks.length >= 4, `${blocks.length} blocks`);
  const dir = mkdtempSync(join(web, "client", "docs-"));
  try {
    writeFileSync(join(dir, "given.d.ts"), given);
    blocks.forEach((code, i) => writeFileSync(join(dir, `block${i}.ts`), `${code}\nexport {};\n`));
    writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({
      compilerOptions: { strict: true, noEmit: true, target: "es2022", module: "es2022", moduleResolution: "bundler", lib: ["es2022", "dom"], types: [] },
      include: ["*.ts"],
    }));
    execFileSync(process.execPath, [join(web, "node_modules", "typescript", "bin", "tsc"), "-p", dir], { encoding: "utf8" });
  } catch (why) {
    assert.fail(why.stdout ?? why.message);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
