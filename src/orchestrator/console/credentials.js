/** What the page proves itself with: the newest token of one person, or none where none is asked for. */

import { readToken } from "./token.js";

/** Tells `wanted` when the service takes no longer what is here, and `renewed` when there is more. */
export class Credentials extends EventTarget {
  #isWanted = false;

  /** @param {string | null} [token] */
  constructor(token = null) {
    super();
    this.token = token;
    this.told = readToken(token);
    /** The service's words about the last token; empty where there has been none. */
    this.reason = "";
  }

  /** Whether the service asks for a token, and no other than what it refused is here. */
  get isWanted() {
    return this.#isWanted;
  }

  /**
   * Whether requests have to say whose they are. Where a token proves that they leave it out: it
   * could only contradict, where the service reads other claims than the usual ones.
   */
  get mustState() {
    return this.token === null || this.told?.isOperator === true;
  }

  /**
   * @param {string | null} token what the service was given: news about an older one is no news
   * @param {string} reason
   */
  refuse(token, reason) {
    if (token !== this.token || this.#isWanted) return;
    this.#isWanted = true;
    this.reason = token === null ? "" : reason;
    this.dispatchEvent(new Event("wanted"));
  }

  /** @param {string} token a newer one of the same person */
  renew(token) {
    this.token = token;
    this.told = readToken(token);
    this.#isWanted = false;
    this.dispatchEvent(new Event("renewed"));
  }

  /** Return as soon as there is no known reason for the service to refuse. */
  async ready() {
    while (this.#isWanted) {
      await new Promise((wake) => this.addEventListener("renewed", wake, { once: true }));
    }
  }
}
