/**
 * Keeps a conversation over reloads: transcript and position in one entry, written together, so
 * that whatever is read back fits together and the log can be followed from exactly there.
 */

import { isEnded } from "./turn.js";

const PREFIX = "orchestrator.conversation:";
const CONVERSATIONS = 5;
const TURNS = 100;
const CHARACTERS = 1_000_000;

/**
 * @typedef {object} Snapshot
 * @property {string | null} position
 * @property {boolean} behind the log could not be followed and the ledgers were not read yet
 * @property {import("./turn.js").Turn[]} turns
 * @property {number} savedAt milliseconds since 1970
 */

export class Archive {
  /**
   * @param {Storage | null} storage null: the browser grants none, and nothing is kept
   * @param {import("./identity.js").Identity} identity
   */
  constructor(storage, { tenant, session }) {
    this.storage = storage;
    this.tenant = tenant;
    this.key = `${PREFIX}${tenant}/${session}`;
  }

  /** @returns {Snapshot | null} */
  load() {
    return readSnapshot(this.storage?.getItem(this.key) ?? null);
  }

  /** @param {Omit<Snapshot, "savedAt">} snapshot */
  save({ position, behind, turns }) {
    const kept = bounded(turns);
    const text = JSON.stringify({ position, behind, turns: kept, savedAt: Date.now() });
    if (this.#write(text)) return;
    this.#prune(0);
    this.#write(text);
  }

  /** @returns {string[]} agents that took a message in the tenant's conversations that are kept */
  agents() {
    const keys = Object.keys(this.storage ?? {}).filter((key) => key.startsWith(`${PREFIX}${this.tenant}/`));
    const turns = keys.flatMap((key) => readSnapshot(this.storage?.getItem(key) ?? null)?.turns ?? []);
    return [...new Set(turns.filter((turn) => turn.task !== null && turn.agent).map((turn) => turn.agent))];
  }

  /** Let the oldest conversations go, so that the browser's storage never fills up. */
  prune() {
    this.#prune(CONVERSATIONS - 1);
  }

  /** @param {string} text */
  #write(text) {
    try {
      this.storage?.setItem(this.key, text);
      return true;
    } catch {
      return false;
    }
  }

  /** @param {number} others how many other conversations may stay */
  #prune(others) {
    if (this.storage === null) return;
    const keys = Object.keys(this.storage).filter((key) => key.startsWith(PREFIX));
    const age = (/** @type {string} */ key) => readSnapshot(this.storage?.getItem(key) ?? null)?.savedAt ?? 0;
    const rest = keys.filter((key) => key !== this.key).sort((a, b) => age(b) - age(a));
    for (const key of rest.slice(others)) this.storage.removeItem(key);
  }
}

/**
 * @param {string | null} text
 * @returns {Snapshot | null} null where it is none, or not one of ours
 */
export function readSnapshot(text) {
  try {
    const snapshot = JSON.parse(text ?? "null");
    return Array.isArray(snapshot?.turns) ? snapshot : null;
  } catch {
    return null;
  }
}

/**
 * The newest turns that fit, and every open one however old.
 *
 * @param {import("./turn.js").Turn[]} turns
 */
function bounded(turns) {
  let room = CHARACTERS;
  let count = TURNS;
  const kept = turns.toReversed().filter((turn) => {
    room -= turn.answer.length + (turn.question?.length ?? 0);
    count -= 1;
    return !isEnded(turn) || (room >= 0 && count >= 0);
  });
  return kept.toReversed();
}
