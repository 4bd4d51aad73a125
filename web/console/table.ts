/**
 * Tables whose rows stay the same elements as long as they are about the same thing: what has the focus keeps it, and a selection
 * stays, while the numbers change. On narrow screens each row is a card, in which the cells have their column's name before them;
 * the roles are said because some browsers forget them with another display.
 */
import { at, el, mark, say, type Child } from "./dom";

export interface Column<T> {
  title: string;
  /** Classes of its cells: "number", "wide". */
  kind?: string;
  /** Makes the cell's content once, and returns what brings it up to date; or undefined where it never changes. */
  cell: (cell: HTMLTableCellElement, item: T) => ((item: T) => void) | void;
}

/** text is a column that is one piece of text. */
export const text = <T>(title: string, of: (item: T) => string, kind?: string): Column<T> => ({
  title, kind, cell: (cell) => (item) => say(cell, of(item)),
});

export class Table<T> {
  readonly element: HTMLElement;
  #table: HTMLTableElement;
  #body: HTMLTableSectionElement;
  #empty: HTMLElement;
  #rows = new Map<string, { element: HTMLTableRowElement; updates: ((item: T) => void)[] }>();

  /** caption names the table; key tells its items apart. The first column is what a row is about. */
  constructor(caption: string, readonly columns: Column<T>[], readonly key: (item: T) => string, empty: Child[]) {
    const head = el("tr", { role: "row" }, ...columns.map(({ title, kind = "" }) => el("th", { role: "columnheader", scope: "col", class: kind }, title)));
    this.#body = el("tbody", { role: "rowgroup" });
    this.#table = el("table", { role: "table" }, el("caption", { class: "hidden" }, caption), el("thead", { role: "rowgroup" }, head), this.#body);
    this.#empty = el("p", { class: "empty hint" }, ...empty);
    this.#empty.hidden = true;
    this.element = el("div", { class: "table" }, this.#table, this.#empty);
  }

  show(items: T[]): void {
    const wanted = new Set(items.map(this.key));
    for (const [key, { element }] of this.#rows) {
      if (wanted.has(key)) continue;
      // A focus in what goes away would be nowhere, and the next key press would begin at the page's top.
      if (element.contains(document.activeElement)) at("main").querySelector<HTMLElement>("h1")?.focus();
      element.remove();
      this.#rows.delete(key);
    }
    // Only what is out of its place moves: an element that is moved loses the focus.
    let next = this.#body.firstElementChild;
    for (const item of items) {
      const key = this.key(item);
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, row = this.#make(item));
      for (const update of row.updates) update(item);
      if (row.element === next) next = next.nextElementSibling;
      else this.#body.insertBefore(row.element, next);
    }
    this.#empty.hidden = items.length > 0;
    this.#table.hidden = items.length === 0;
  }

  #make(item: T) {
    const updates: ((item: T) => void)[] = [];
    const cells = this.columns.map(({ title, kind = "", cell: make }, i) => {
      const cell = i ? el("td", { role: "cell", class: kind }) : el("th", { role: "rowheader", scope: "row", class: kind });
      mark(cell, "data-title", title);
      const update = make(cell, item);
      if (update) updates.push(update);
      return cell;
    });
    return { element: el("tr", { role: "row" }, ...cells), updates };
  }
}
