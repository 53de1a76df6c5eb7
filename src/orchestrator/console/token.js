/**
 * What a token says of its bearer, and where this window keeps it. It is read for what is shown and
 * for the right ids, never verified: that is the service's part.
 */

import { fits } from "./identity.js";

/**
 * @typedef {object} Told
 * @property {string | null} tenant null here and below: the token does not say, or by another name
 * @property {string | null} tier
 * @property {string | null} user
 * @property {string | null} session the only one that it reaches
 * @property {string[]} agents the only ones that it reaches; empty: any
 * @property {number | null} expires milliseconds since 1970
 * @property {boolean} isOperator it is of no tenant, so that whoever uses it has to name one
 */

const KEY = "orchestrator.token";

/**
 * @param {string | null} token
 * @returns {Told | null} null where it has not the form of a token
 */
export function readToken(token) {
  const parts = /^[\w-]+\.([\w-]+)\.[\w-]*$/.exec(token ?? "");
  const claims = parts && decoded(parts[1]);
  if (!claims) return null;
  const tenant = id("tenant", claims.tenant_id);
  return {
    tenant,
    tier: id("tier", claims.tier),
    user: typeof claims.sub === "string" ? claims.sub : null,
    session: id("session", claims.session_id),
    agents: words(claims.agents).filter((agent) => fits("agent", agent)),
    expires: Number.isFinite(claims.exp) ? claims.exp * 1000 : null,
    isOperator: tenant === null && words(claims.scope).includes("admin"),
  };
}

/**
 * @param {Storage | null} storage the window's own: another tab has to be given its token itself
 * @returns {string | null}
 */
export function loadToken(storage) {
  const kept = storage?.getItem(KEY) ?? null;
  return readToken(kept) && kept;
}

/** @param {Storage | null} storage @param {string} token */
export function keepToken(storage, token) {
  try {
    storage?.setItem(KEY, token);
  } catch {
    // It is asked for again when the page is loaded the next time.
  }
}

/**
 * @param {string} part base64url of a JSON object in UTF-8
 * @returns {Record<string, any> | null}
 */
function decoded(part) {
  try {
    const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && !Array.isArray(claims) ? claims : null;
  } catch {
    return null;
  }
}

/**
 * @param {import("./identity.js").Field} field
 * @param {unknown} value
 */
function id(field, value) {
  return typeof value === "string" && fits(field, value) ? value : null;
}

/**
 * @param {unknown} value a list of texts, or one text with spaces between its words
 * @returns {string[]}
 */
function words(value) {
  const list = typeof value === "string" ? value.split(" ") : value;
  return Array.isArray(list) ? list.filter((word) => typeof word === "string") : [];
}
