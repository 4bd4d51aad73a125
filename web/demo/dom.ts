/** The page's elements: those that it has, by their id, and new ones. */

export const at = <E extends Element = HTMLElement>(id: string) => document.getElementById(id) as unknown as E;

/** Makes an element with properties and content. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, properties: Partial<HTMLElementTagNameMap[K]> = {}, ...content: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...content);
  return element;
}

/** Whether this person would rather see nothing move. */
export const still = matchMedia("(prefers-reduced-motion: reduce)");
