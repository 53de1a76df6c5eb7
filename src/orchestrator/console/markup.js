/**
 * Shows an answer's text: paragraphs, code fences, `code` and **bold**, and nothing else. Every
 * piece becomes a text node, so whatever an agent writes stays text.
 */

/** @typedef {{kind: "prose" | "code", text: string}} Block */
/** @typedef {{kind: "prose" | "code", lines: string[]}} Draft */

const FENCE = /^ {0,3}```/;
const INLINE = /`([^`\n]+)`|\*\*(?=\S)([^\n]*?\S)\*\*/g;

/**
 * @param {string} text
 * @returns {Block[]} a fence that is still open runs to the end
 */
export function blocks(text) {
  /** @type {Draft[]} */
  const found = [];
  let block = begin(found, "prose");
  for (const line of text.split("\n")) {
    if (FENCE.test(line)) block = begin(found, block.kind === "code" ? "prose" : "code");
    else block.lines.push(line);
  }
  return found.map(finish).filter(({ kind, text: content }) => kind === "code" || content !== "");
}

export class Markup {
  /** @type {Block[]} */
  #shown = [];

  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
  }

  /**
   * Bring the container to show `text`; blocks that did not change keep their nodes, and with
   * them what the reader has selected there.
   *
   * @param {string} text
   */
  show(text) {
    const wanted = blocks(text);
    wanted.forEach((block, index) => this.#showBlock(block, index));
    while (this.container.children.length > wanted.length) this.container.lastChild?.remove();
    this.#shown = wanted;
  }

  /** @param {Block} block @param {number} index */
  #showBlock({ kind, text }, index) {
    const before = this.#shown[index];
    if (before?.kind === kind && before.text === text) return;
    const element = before?.kind === kind ? this.container.children[index] : this.#place(kind, index);
    if (kind === "prose") showProse(element, text);
    else extend(/** @type {Text} */ (element.firstChild?.firstChild), text);
  }

  /** @param {Block["kind"]} kind @param {number} index */
  #place(kind, index) {
    const element = kind === "prose" ? document.createElement("p") : codeElement();
    const before = this.container.children[index];
    if (before) before.replaceWith(element);
    else this.container.append(element);
    return element;
  }
}

/** @param {Draft[]} found @param {Block["kind"]} kind @returns {Draft} */
function begin(found, kind) {
  /** @type {Draft} */
  const block = { kind, lines: [] };
  found.push(block);
  return block;
}

/** @param {Draft} draft @returns {Block} */
function finish({ kind, lines }) {
  const text = lines.join("\n");
  return { kind, text: kind === "prose" ? text.replace(/^\n+|\n+$/g, "") : text };
}

/** A code block can be wider than the page: it scrolls, so the keyboard must reach it. */
function codeElement() {
  const element = document.createElement("pre");
  element.tabIndex = 0;
  element.appendChild(document.createElement("code")).append("");
  return element;
}

/** @param {Element} element @param {string} text */
function showProse(element, text) {
  const pieces = inline(text);
  const only = element.childNodes.length === 1 ? element.firstChild : null;
  if (pieces.length === 1 && only instanceof Text) extend(only, text);
  else element.replaceChildren(...pieces);
}

/** @param {Text} node @param {string} text appended to where it can be, so a selection survives */
function extend(node, text) {
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}

/** @param {string} text @returns {Node[]} */
function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(document.createTextNode(text.slice(end, match.index)));
    const element = document.createElement(match[1] === undefined ? "strong" : "code");
    element.textContent = match[1] ?? match[2];
    nodes.push(element);
    end = match.index + match[0].length;
  }
  nodes.push(document.createTextNode(text.slice(end)));
  return nodes;
}
