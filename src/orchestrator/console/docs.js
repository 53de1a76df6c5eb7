/** The page of the interfaces: reads both descriptions, shows them, and finds in them. */

import { channelEntries } from "./docs_channels.js";
import { element, prose } from "./docs_dom.js";
import { httpEntries } from "./docs_http.js";

/** @typedef {import("./docs_http.js").Entry} Entry */

const main = /** @type {HTMLElement} */ (document.getElementById("content"));
const contents = /** @type {HTMLElement} */ (document.getElementById("contents"));
const find = /** @type {HTMLInputElement} */ (document.getElementById("find"));
const state = /** @type {HTMLElement} */ (document.getElementById("state"));

/** @type {{ entry: Entry, link: HTMLElement, words: string }[]} */
const shown = [];

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

/**
 * @param {string} title
 * @param {string | undefined} description
 * @param {Entry[]} entries
 */
function showGroup(title, description, entries) {
  const links = entries.map((entry) => {
    const link = element("a", { href: `#${entry.id}` }, entry.label);
    shown.push({ entry, link, words: `${entry.label} ${entry.card.textContent}`.toLowerCase() });
    return link;
  });
  const cards = entries.map((entry) => entry.card);
  main.append(element("section", { "aria-label": title }, element("h2", {}, title), prose(description), ...cards));
  contents.append(element("section", {}, element("h2", {}, title), ...links));
}

/** Show what has every word that was typed. */
function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const { entry, link, words: text } of shown) {
    const isFound = words.every((word) => text.includes(word));
    entry.card.hidden = link.hidden = !isFound;
  }
  for (const section of document.querySelectorAll("main > section, #contents > section")) {
    /** @type {HTMLElement} */ (section).hidden = !section.querySelector("article:not([hidden]), a:not([hidden])");
  }
}

async function show() {
  const [openapi, asyncapi] = await Promise.all([read("/openapi.json"), read("/asyncapi.json")]);
  /** @type {HTMLElement} */ (document.getElementById("version")).textContent = `Interfaces of version ${openapi.info.version}`;
  state.replaceWith(...[prose(openapi.info.description)].filter((part) => part !== null));
  const described = new Map(openapi.tags.map((/** @type {any} */ tag) => [tag.name, tag.description]));
  for (const [tag, entries] of httpEntries(openapi)) showGroup(tag, described.get(tag), entries);
  for (const [title, entries] of channelEntries(asyncapi)) showGroup(title, undefined, entries);
  find.addEventListener("input", filter);
  // The browser looked for the anchor before there was anything to find.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

show().catch((error) => {
  state.setAttribute("role", "alert");
  state.textContent = `The descriptions cannot be shown: ${error.message}`;
});
