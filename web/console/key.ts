/**
 * The key of the API, and whether one is needed. It is kept for this tab only, in sessionStorage, and never in an address.
 */

const place = "roompass-key";

export const key = {
  get: (): string | null => sessionStorage.getItem(place),
  set: (value: string) => sessionStorage.setItem(place, value),
  forget: () => sessionStorage.removeItem(place),
};

/**
 * readKey makes a key of what somebody pasted, which may have the scope before it as on the gateway's command line. It is
 * undefined where no key looks like this: the gateway has no other, and some of it couldn't be sent in a header.
 */
export function readKey(pasted: string): string | undefined {
  const text = pasted.trim().replace(/^(read|write):/, "");
  return /^[A-Za-z0-9._~+/-]+=*$/.test(text) ? text : undefined;
}

/**
 * How this page was served, which says whether the API wants a key, so that it needn't be asked in vain:
 * "open" when a proxy in front sent the key along, "closed" when nobody did, "off" when the gateway has none.
 */
export function howServed(): "open" | "closed" | "off" | "unknown" {
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  switch (page?.responseStatus) {
    case 200: case 304: return "open";
    case 401: return "closed";
    case 403: return "off";
    default: return "unknown"; // a browser that doesn't tell
  }
}
