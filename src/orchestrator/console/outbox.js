/**
 * Gets questions to the service, one at a time and in order, each with one key for all its tries,
 * so that no lost answer and no reload makes two tasks of one question.
 */

import { isForToken } from "./api.js";
import { backoff } from "./backoff.js";
import { end, isEnded } from "./turn.js";

// The service remembers a key for 24 h; a repetition after that could be a second task.
const KEY_LIFE_MS = 23 * 3600 * 1000;

/** @typedef {import("./turn.js").Turn} Turn */

export class Outbox {
  #busy = false;
  #tries = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {object} with_
   * @param {import("./transcript.js").Transcript} with_.transcript
   * @param {import("./api.js").Api} with_.api
   * @param {() => void} with_.keep writes the transcript down before it returns
   * @param {(position: string | null) => void} with_.onSettled with the position of a 202
   */
  constructor({ transcript, api, keep, onSettled }) {
    this.transcript = transcript;
    this.api = api;
    this.keep = keep;
    this.onSettled = onSettled;
  }

  /** Whether a send is on its way, so that its task may show up before its answer. */
  get busy() {
    return this.#busy;
  }

  /** The network is back: what waits for it need not wait longer. A limit's wait stays. */
  nudge() {
    const turn = this.transcript.unsent();
    if (turn && turn.code === null) turn.retryAt = null;
    this.wake();
  }

  wake() {
    clearTimeout(this.#timer);
    const turn = this.transcript.unsent();
    if (this.#busy || !turn || this.api.credentials.isWanted) return;
    const wait = (turn.retryAt ?? 0) - Date.now();
    if (wait > 0) this.#timer = setTimeout(() => this.wake(), wait);
    else this.#send(turn);
  }

  /** @param {Turn} turn */
  async #send(turn) {
    if (Date.now() - turn.askedAt > KEY_LIFE_MS) return this.#giveUp(turn, "expired");
    if (turn.stopping && !turn.uncertain) return this.#giveUp(turn, null);
    this.#busy = true;
    const { uncertain } = turn;
    this.#mark(turn, { uncertain: true, code: null, retryAt: null });
    this.keep();
    const answer = await this.api.send(turn);
    this.#busy = false;
    if (isForToken(answer)) this.#hold(turn, uncertain);
    else this.#settle(turn, answer);
    this.wake();
  }

  /**
   * Until there is another token. This send had no effect; what one before it had is as open as it was.
   *
   * @param {Turn} turn
   * @param {boolean} uncertain
   */
  #hold(turn, uncertain) {
    this.#mark(turn, { uncertain, code: "unauthorized" });
    this.keep();
  }

  /** @param {Turn} turn @param {import("./api.js").Answer} answer */
  #settle(turn, answer) {
    if (answer.kind === "done") return this.#accepted(turn, answer.body);
    const { code = null, detail = "" } = answer.problem ?? {};
    if (answer.kind === "refused") return this.#end(turn, "refused", code, detail);
    this.#tries += 1;
    const wait = (answer.after ?? 0) * 1000 + backoff(this.#tries);
    const limit = answer.problem?.status === 429 ? code : null;
    const uncertain = answer.kind === "unknown";
    this.#mark(turn, { uncertain, code: limit, retryAt: Date.now() + wait });
    this.keep();
  }

  /** @param {Turn} turn @param {Record<string, any>} body of the 202 */
  #accepted(turn, body) {
    this.#tries = 0;
    turn.code = null;
    this.transcript.accepted(turn, body.task_id, body.created_at ?? null);
    this.onSettled(body.position);
  }

  /** @param {Turn} turn @param {string | null} code */
  #giveUp(turn, code) {
    this.#end(turn, "unsent", code, null);
    this.wake();
  }

  /**
   * @param {Turn} turn
   * @param {string} status
   * @param {string | null} code
   * @param {string | null} message
   */
  #end(turn, status, code, message) {
    this.#tries = 0;
    if (!isEnded(turn)) end(turn, status, code, message);
    this.onSettled(null);
  }

  /** @param {Turn} turn @param {Partial<Turn>} news */
  #mark(turn, news) {
    Object.assign(turn, news);
    turn.revision += 1;
  }
}
