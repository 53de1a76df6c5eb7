/**
 * Reads answers to people who listen: whole sentences as they come, in a polite live region of
 * their own. Announcing every word would never let a screen reader finish one.
 */

import { isEnded } from "./turn.js";

const SENTENCE_END = /[.!?…:]\s|\n/g;
const KEPT = 20;

export class Announcer {
  /** @type {WeakMap<import("./turn.js").Turn, {attempt: number, length: number, ended: boolean, asks: number, wait: string | null}>} */
  #told = new WeakMap();

  /** @param {HTMLElement} region with `aria-live="polite"` */
  constructor(region) {
    this.region = region;
  }

  /** Nothing of what is there already is news. @param {import("./turn.js").Turn} turn */
  skip(turn) {
    const { attempt, answer, asks } = turn;
    this.#told.set(turn, { attempt, length: answer.length, ended: isEnded(turn), asks: asks.length, wait: null });
  }

  /**
   * @param {import("./turn.js").Turn} turn
   * @param {string} state in words
   * @param {import("./waits.js").Reason | null} wait
   */
  tell(turn, state, wait) {
    const told = this.#told.get(turn) ?? { attempt: turn.attempt, length: 0, ended: false, asks: 0, wait: null };
    if (told.ended) return;
    if (told.attempt !== turn.attempt) Object.assign(told, { attempt: turn.attempt, length: 0 });
    const end = isEnded(turn) ? turn.answer.length : sentenceEnd(turn.answer);
    this.#say(turn.answer.slice(told.length, end));
    for (const ask of turn.asks.slice(told.asks)) this.#say(`${state}: ${ask.prompt}`);
    told.asks = turn.asks.length;
    // Another reason is news. That it goes on, and how far it has come, is for those who look.
    if (wait && wait.name !== told.wait) this.#say(wait.text);
    told.wait = wait?.name ?? told.wait;
    if (isEnded(turn)) this.#say(state);
    this.#told.set(turn, { ...told, length: Math.max(told.length, end), ended: isEnded(turn) });
  }

  /** @param {string} text */
  #say(text) {
    if (text.trim() === "") return;
    const line = document.createElement("p");
    line.textContent = text;
    this.region.append(line);
    if (this.region.children.length > KEPT) this.region.firstElementChild?.remove();
  }
}

/** @param {string} text @returns {number} where its last whole sentence ends */
function sentenceEnd(text) {
  const last = [...text.matchAll(SENTENCE_END)].at(-1);
  return last ? last.index + last[0].length : 0;
}
