/** The HTTP interface: one card an operation. */

import { element, folded, prose, sample } from "./docs_dom.js";
import { membersOf, resolved, typeName } from "./docs_schema.js";

/** @typedef {import("./docs_schema.js").Schema} Schema */
/** @typedef {{ id: string, label: string, card: HTMLElement }} Entry */

/**
 * The operations by tag, in the document's order.
 * @param {Schema} openapi
 * @returns {Map<string, Entry[]>}
 */
export function httpEntries(openapi) {
  const groups = new Map(openapi.tags.map((/** @type {Schema} */ tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const card = operationCard(openapi, method, path, operation);
      groups.get(operation.tags[0]).push({ id: card.id, label: `${method.toUpperCase()} ${path}`, card });
    }
  }
  return groups;
}

/**
 * @param {Schema} openapi
 * @param {string} method
 * @param {string} path
 * @param {Schema} operation
 * @returns {HTMLElement}
 */
function operationCard(openapi, method, path, operation) {
  return element(
    "article",
    { class: "item", id: `operation-${operation.operationId}` },
    element(
      "h3",
      { class: "address" },
      element("span", { class: "verb", "data-kind": method }, method.toUpperCase()),
      element("code", {}, path),
    ),
    prose(operation.summary),
    prose(operation.description),
    ...parameters(openapi, operation.parameters ?? []),
    ...body(openapi, operation.requestBody),
    element("h4", {}, "Answers"),
    element("div", { class: "answers" }, ...Object.entries(operation.responses).map(([status, told]) => response(openapi, status, told))),
  );
}

/**
 * @param {Schema} openapi
 * @param {Schema[]} listed
 * @returns {HTMLElement[]}
 */
function parameters(openapi, listed) {
  if (!listed.length) return [];
  const rows = listed.map((parameter) =>
    element(
      "li",
      {},
      element("code", {}, parameter.name),
      " ",
      element("span", { class: "type" }, `${parameter.in}, ${typeName(openapi, parameter.schema)}`),
      parameter.required && element("span", { class: "must" }, " required"),
      prose(parameter.description),
    ),
  );
  return [element("h4", {}, "Parameters"), element("ul", { class: "members" }, ...rows)];
}

/**
 * @param {Schema} openapi
 * @param {Schema | undefined} described
 * @returns {HTMLElement[]}
 */
function body(openapi, described) {
  if (!described) return [];
  return [element("h4", {}, "Body"), ...Object.entries(described.content).map(([kind, media]) => content(openapi, kind, media))];
}

/**
 * @param {Schema} openapi
 * @param {string} status
 * @param {Schema} told
 * @returns {HTMLElement}
 */
function response(openapi, status, told) {
  const headers = Object.entries(told.headers ?? {}).map(([name, header]) =>
    element("li", {}, element("code", {}, name), prose(resolved(openapi, header).description)),
  );
  const summary = element("summary", {}, element("span", { class: "status" }, status), " ", ...(prose(told.description)?.childNodes ?? []));
  return element(
    "details",
    {},
    summary,
    headers.length > 0 && element("ul", { class: "members" }, ...headers),
    ...Object.entries(told.content ?? {}).map(([kind, media]) => content(openapi, kind, media)),
  );
}

/**
 * @param {Schema} openapi
 * @param {string} kind
 * @param {Schema} media
 * @returns {HTMLElement}
 */
function content(openapi, kind, media) {
  const examples = Object.values(media.examples ?? {}).map((/** @type {Schema} */ one) => folded(one.summary, sample(one.value)));
  return element(
    "div",
    {},
    element("p", { class: "type" }, kind),
    membersOf(openapi, media.schema),
    media.example !== undefined && folded("Example", sample(media.example)),
    ...examples,
  );
}
