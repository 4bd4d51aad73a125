/**
 * Building elements. Whatever a client calls itself or its room goes in as text, and nothing here can make markup of it: the
 * page's policy forbids that too, by Trusted Types.
 */

export type Child = Node | string;
type Attribute = string | number | boolean | undefined | ((event: Event) => void);

/** el makes an element. An attribute that is false or undefined is left out; a function is a listener, by its name after "on". */
export function el<K extends keyof HTMLElementTagNameMap>(
  name: K, attributes: Record<string, Attribute> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(name), attributes, children);
}

/** svg is el for drawings. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K, attributes: Record<string, Attribute> = {}, ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill<E extends Element>(element: E, attributes: Record<string, Attribute>, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** at finds what index.html has. */
export const at = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E;

/** say puts text into an element, and leaves it alone where it is there already: a selection stays, and a screen reader is silent. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** mark sets an attribute, or takes it away where the value is undefined. */
export function mark(element: Element, name: string, value?: string): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * foreign is a text that a client chose. It is cut by the style sheet, with all of it in the title, and its direction is its
 * own: a name with a right-to-left override must not turn round what stands beside it.
 */
export function foreign(text: string): HTMLElement {
  const element = el("bdi", { class: "foreign" });
  sayForeign(element, text);
  return element;
}

export function sayForeign(element: HTMLElement, text: string): void {
  say(element, text);
  mark(element, "title", text);
}
