/** Elements from data. Texts become text nodes only: nothing that a description says can become markup. */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child instanceof Node || typeof child === "string"));
  return made;
}

/**
 * A paragraph, with what stands between backticks as code.
 * @param {string | undefined} text
 * @returns {HTMLElement | null}
 */
export function prose(text) {
  if (!text) return null;
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
  return element("p", {}, ...parts);
}

/**
 * @param {unknown} value
 * @returns {HTMLElement}
 */
export function sample(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return element("pre", { tabindex: "0" }, element("code", {}, text));
}

/**
 * @param {string} label
 * @param {...Child} children
 * @returns {HTMLDetailsElement}
 */
export function folded(label, ...children) {
  return element("details", {}, element("summary", {}, label), ...children);
}

/**
 * A table of texts; a cell may have code between backticks.
 * @param {string[]} head
 * @param {string[][]} rows
 * @returns {HTMLTableElement}
 */
export function table(head, rows) {
  const cells = (/** @type {string[]} */ row) => row.map((text) => element("td", {}, ...(prose(text)?.childNodes ?? [])));
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row)))),
  );
}
