/** Addresses within the page: #/, #/rooms?prefix=game, #/rooms/lobby, #/revocations. They can be linked to and gone back from. */

export interface Route { path: string[]; query: URLSearchParams }

export function readRoute(hash: string): Route {
  const [path, query] = hash.replace(/^#?\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

// An address may have been cut in two on its way through a chat.
function decode(segment: string): string {
  try { return decodeURIComponent(segment); } catch { return segment; }
}

export function hashOf(path: string[], query: Record<string, string | undefined> = {}): string {
  const given = new URLSearchParams(Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1])));
  return `#/${path.map(encodeURIComponent).join("/")}${given.size ? `?${given}` : ""}`;
}
