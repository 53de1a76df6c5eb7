/** JSON Schemas for people: a list of members, each with its type, bounds and meaning. */

import { element, folded, prose } from "./docs_dom.js";

/** @typedef {Record<string, any>} Schema */

const DEPTH_MAX = 8;

/**
 * What a reference in the document leads to.
 * @param {Schema} root
 * @param {Schema} part
 * @returns {Schema}
 */
export function resolved(root, part) {
  if (!part.$ref) return part;
  const names = String(part.$ref).slice(2).split("/");
  const found = names.reduce((/** @type {any} */ at, name) => at[name], root);
  return { ...resolved(root, found), ...(part.description ? { description: part.description } : {}) };
}

/**
 * @param {Schema} root
 * @param {Schema} schema
 * @returns {string}
 */
export function typeName(root, schema) {
  const found = resolved(root, schema);
  if ("const" in found) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(" | ");
  const choices = found.anyOf ?? found.oneOf;
  if (choices) return choices.map((/** @type {Schema} */ one) => typeName(root, one)).join(" or ");
  if (found.allOf) return typeName(root, found.allOf[0]);
  // A list whose places have each a type of their own; then `items: false` says that there are no more.
  if (found.prefixItems) return `[${found.prefixItems.map((/** @type {Schema} */ one) => typeName(root, one)).join("; ")}]`;
  if (found.type === "array") return `list of ${typeName(root, found.items || {})}`;
  if (schema.$ref) return found.title ?? "object";
  return [found.type ?? "anything", ...bounds(found)].join(", ");
}

/**
 * @param {Schema} schema
 * @returns {string[]}
 */
function bounds(schema) {
  const told = [];
  if (schema.format) told.push(schema.format);
  if ("minLength" in schema || "maxLength" in schema) told.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "any number of"} characters`);
  if ("minimum" in schema) told.push(`at least ${schema.minimum}`);
  if ("exclusiveMinimum" in schema) told.push(`above ${schema.exclusiveMinimum}`);
  if ("maximum" in schema) told.push(`at most ${schema.maximum}`);
  return told;
}

/**
 * The members of an object, of what is in a list of objects, or of one of several.
 * @param {Schema} root
 * @param {Schema} schema
 * @param {number} [depth]
 * @returns {HTMLElement | null}
 */
export function membersOf(root, schema, depth = 0) {
  const found = objectIn(root, schema);
  if (!found || depth > DEPTH_MAX) return null;
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties).map(([name, member]) =>
    memberRow(root, name, /** @type {Schema} */ (member), required.has(name), depth),
  );
  return element("ul", { class: "members" }, ...rows);
}

/**
 * @param {Schema} root
 * @param {Schema} schema
 * @returns {Schema | undefined}
 */
function objectIn(root, schema) {
  const found = resolved(root, schema);
  if (found.properties && !found.allOf) return found;
  const inner = [...(found.allOf ?? []), ...(found.anyOf ?? []), ...(found.items ? [found.items] : [])];
  return inner.map((one) => objectIn(root, one)).find(Boolean);
}

/**
 * @param {Schema} root
 * @param {string} name
 * @param {Schema} schema
 * @param {boolean} isRequired
 * @param {number} depth
 * @returns {HTMLElement}
 */
function memberRow(root, name, schema, isRequired, depth) {
  const inner = membersOf(root, schema, depth + 1);
  const preset = schema.default === undefined || schema.default === null ? "" : ` = ${JSON.stringify(schema.default)}`;
  return element(
    "li",
    {},
    element("code", {}, name),
    " ",
    element("span", { class: "type" }, typeName(root, schema) + preset),
    isRequired && element("span", { class: "must" }, " required"),
    prose(resolved(root, schema).description),
    inner && folded("members", inner),
  );
}
