/** Finds out from the ledgers what became of the tasks, where the log could not be followed. */

import { end } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */

export class Ledgers {
  #reading = false;
  #gaps = 0;

  /**
   * @param {object} with_
   * @param {import("./transcript.js").Transcript} with_.transcript
   * @param {import("./api.js").Api} with_.api
   * @param {() => void} with_.onChange
   * @param {boolean} with_.behind whether an earlier page had no time to read them
   */
  constructor({ transcript, api, onChange, behind }) {
    this.transcript = transcript;
    this.api = api;
    this.onChange = onChange;
    /** Whether there is something to be read; kept over reloads, so that none is forgotten. */
    this.behind = behind;
  }

  /** The log has a gap before the position that is followed from now on. */
  gap() {
    this.#gaps += 1;
    this.behind = true;
  }

  /** Read what is to be read, however long the service takes to answer. */
  async catchUp() {
    if (this.#reading) return;
    this.#reading = true;
    for (let tries = 1; this.behind; tries += 1) {
      const gaps = this.#gaps;
      // Another gap meanwhile may be about events that happened after the ledgers were written.
      if (await this.#read()) this.behind = gaps !== this.#gaps;
      else await this.api.pause(tries);
    }
    this.#reading = false;
    this.onChange();
  }

  /** @returns {Promise<boolean>} whether there is nothing left to ask */
  async #read() {
    const answer = await this.api.session();
    if (answer.kind === "refused") return true;
    if (answer.kind !== "done") return false;
    this.transcript.settle(answer.body.tasks);
    const told = new Set(answer.body.tasks.map((/** @type {any} */ ledger) => ledger.task_id));
    const rest = this.transcript.open().filter((turn) => turn.task && !told.has(turn.task));
    return (await Promise.all(rest.map((turn) => this.#readOne(turn)))).every(Boolean);
  }

  /** @param {Turn} turn */
  async #readOne(turn) {
    const answer = await this.api.task(/** @type {string} */ (turn.task));
    if (answer.kind === "done") this.transcript.settle([answer.body]);
    else if (answer.kind === "refused") end(turn, "forgotten", null, null);
    return answer.kind === "done" || answer.kind === "refused";
  }
}
