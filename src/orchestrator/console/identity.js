/** Who is talking to whom: the settings of the drawer, and the ids that the page makes itself. */

/**
 * @typedef {object} Identity
 * @property {string} tenant
 * @property {string} agent
 * @property {string} tier
 * @property {string} session
 * @property {string} user empty: none is named
 * @property {string} owner the user of the token that the session was begun with; empty: none
 */

const TIERS = ["free", "advance", "professional", "enterprise"];

const KEY = "orchestrator.settings";

/** @type {(text: string) => boolean} */
const isId = (text) => /^[A-Za-z0-9_-][A-Za-z0-9._@+-]{0,127}$/.test(text);
// The service takes any printable user id; an HTTP header set by a page carries no more than this.
/** @type {(text: string) => boolean} */
const isUser = (text) => /^[\x20-\x7e]{0,255}$/.test(text);

const RULES = {
  tenant: isId,
  agent: isId,
  tier: (/** @type {string} */ text) => TIERS.includes(text),
  session: isId,
  user: isUser,
};

/** @typedef {keyof typeof RULES} Field */
export const FIELDS = /** @type {Field[]} */ (Object.keys(RULES));

/** @param {Field} field @param {string} text @returns {boolean} whether the service would take it */
export function fits(field, text) {
  return RULES[field](text);
}

/**
 * `prefix` and 128 random bits. Not `randomUUID`, which plain-HTTP pages on other hosts lack.
 *
 * @param {string} prefix
 */
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return prefix + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {Identity} the demo's, in a new session */
export function demoIdentity() {
  return {
    tenant: "tenant-456",
    agent: "agent-123",
    tier: "professional",
    session: newId("sess-"),
    user: "",
    owner: "",
  };
}

/**
 * With a token: what it says goes before what was kept, and somebody else's session stays theirs.
 *
 * @param {Identity} kept
 * @param {import("./token.js").Told} told
 * @returns {Identity}
 */
export function identityWith(kept, told) {
  const tenant = told.tenant ?? kept.tenant;
  const owner = told.user ?? "";
  const isSamePerson = tenant === kept.tenant && owner === kept.owner;
  const isReached = told.agents.length === 0 || told.agents.includes(kept.agent);
  return {
    ...kept,
    tenant,
    tier: told.tier ?? kept.tier,
    owner,
    agent: isReached ? kept.agent : told.agents[0],
    session: told.session ?? (isSamePerson ? kept.session : newId("sess-")),
  };
}

/** @param {Identity} one @param {Identity} other */
export function isSame(one, other) {
  return one.owner === other.owner && FIELDS.every((name) => one[name] === other[name]);
}

/**
 * @param {Identity} identity
 * @returns {Field[]} names of the fields that the service would refuse
 */
export function faults(identity) {
  return FIELDS.filter((name) => !fits(name, identity[name]));
}

/**
 * What was kept, or the demo's settings in a new session that is kept from now on.
 *
 * @param {Storage | null} storage
 * @returns {Identity}
 */
export function loadIdentity(storage) {
  const kept = parse(storage?.getItem(KEY) ?? null);
  const identity = { ...demoIdentity(), ...kept };
  if (faults(identity).length === 0 && kept !== null) return identity;
  const fresh = demoIdentity();
  saveIdentity(storage, fresh);
  return fresh;
}

/**
 * @param {Storage | null} storage
 * @param {Identity} identity
 */
export function saveIdentity(storage, identity) {
  try {
    storage?.setItem(KEY, JSON.stringify(identity));
  } catch {
    // A full or forbidden storage costs the memory of the settings, not the conversation.
  }
}

/**
 * @param {string | null} text
 * @returns {Partial<Identity> | null}
 */
function parse(text) {
  try {
    const kept = JSON.parse(text ?? "null");
    return typeof kept === "object" && !Array.isArray(kept) ? kept : null;
  } catch {
    return null;
  }
}
