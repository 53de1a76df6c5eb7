/** Carries a person's wish to stop a task to the service, until the service has answered. */

import { isEnded, settle } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */

export class Stops {
  /** @type {Set<Turn>} those whose cancellation is on its way */
  #underWay = new Set();

  /**
   * @param {object} with_
   * @param {import("./transcript.js").Transcript} with_.transcript
   * @param {import("./api.js").Api} with_.api
   * @param {() => void} with_.onChange
   */
  constructor({ transcript, api, onChange }) {
    this.transcript = transcript;
    this.api = api;
    this.onChange = onChange;
  }

  /** See to every wish whose task is known by now. */
  wake() {
    for (const turn of this.transcript.open()) {
      if (turn.stopping && turn.task !== null && !this.#underWay.has(turn)) this.#cancel(turn);
    }
  }

  /** @param {Turn} turn */
  async #cancel(turn) {
    this.#underWay.add(turn);
    for (let tries = 1; !isEnded(turn) && turn.stopping; tries += 1) {
      const answer = await this.api.cancel(/** @type {string} */ (turn.task));
      if (answer.kind === "done") settle(turn, answer.body);
      if (answer.kind === "done" || answer.kind === "refused") turn.stopping = false;
      else await this.api.pause(tries);
    }
    this.#underWay.delete(turn);
    turn.revision += 1;
    this.onChange();
  }
}
