/** What the members of the room know of each other: their presence data, and what follows from it. */
import type { Member, Token } from "../client/src/client";

export type Presence = {
  name: string;
  /** Their colour, in degrees. */
  hue: number;
  /** They show their camera, and not the drawn portrait. */
  camera: boolean;
  microphone: boolean;
};

export function presenceOf(member?: Member): Presence {
  const said = (member?.data ?? {}) as Partial<Record<keyof Presence, unknown>>;
  const name = typeof said.name === "string" && said.name ? said.name : member?.user ?? "somebody";
  return { name, hue: typeof said.hue === "number" ? said.hue : hueOf(name), camera: said.camera === true, microphone: said.microphone === true };
}

export const nameOf = (member?: Member) => presenceOf(member).name;

export const initialOf = (name: string) => [...name.trim()][0]?.toUpperCase() ?? "?";

const hues = [168, 238, 14, 275, 330, 205, 140, 300];

/** A colour for somebody of this name, and none that is taken while there are others. */
export function hueOf(name: string, taken: number[] = []): number {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)!) >>> 0;
  const from = sum % hues.length;
  return [...hues.slice(from), ...hues].find((hue) => !taken.includes(hue)) ?? hues[from];
}

/** Whether a token says that its holder may kick. The gateway goes by the same claim. */
export function mayKick(token?: Token): boolean {
  const claims = token?.token.split(".")[1] ?? "";
  try {
    return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).kick_users === true;
  } catch {
    return false;
  }
}
