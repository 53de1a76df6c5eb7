/** Carries a person's answers to the service, until the service has taken or refused them. */

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./asks.js").Ask} Ask */

export class Answers {
  /** @type {Set<Ask>} those on their way */
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

  /** See to every answer that is written down and not sent, also by a page before this one. */
  wake() {
    for (const turn of this.transcript.turns) {
      for (const ask of turn.asks) {
        if (ask.state === "sending" && turn.task !== null && !this.#underWay.has(ask)) this.#send(turn, ask);
      }
    }
  }

  /** @param {Turn} turn @param {Ask} ask */
  async #send(turn, ask) {
    this.#underWay.add(ask);
    for (let tries = 1; ask.state === "sending"; tries += 1) {
      // The same answer again is taken as what it is, so it may be repeated.
      const answer = await this.api.answer(/** @type {string} */ (turn.task), ask.name, ask.answer);
      // How the task goes on, the log tells.
      if (answer.kind === "done") ask.state = "answered";
      else if (answer.kind === "refused") refuse(ask, /** @type {any} */ (answer.problem));
      else await this.api.pause(tries);
    }
    this.#underWay.delete(ask);
    turn.revision += 1;
    this.onChange();
  }
}

/** @param {Ask} ask @param {import("./api.js").Problem} problem */
function refuse(ask, problem) {
  delete ask.answer;
  if (problem.status === 400 || problem.status === 413) Object.assign(ask, { state: "open", fault: problem.detail });
  else ask.state = "over";
}
