/** The state of the connection, small and honest: what is true now, and a way out of a refusal. */

// How long before its end a token's is told: enough to get another, and not to forget it again.
const SOON_MS = 60_000;
// A longer timer of a browser ends at once.
const LONGEST_MS = 2 ** 31;

const NAMES = {
  idle: "connecting",
  connecting: "connecting",
  connected: "connected",
  waiting: "reconnecting",
  refused: "refused",
  done: "refused",
};

/** @type {Map<number | undefined, string>} */
const REFUSALS = new Map([
  [4401, "unauthorized"],
  [4403, "denied"],
]);

export class StatusView {
  /** When the token in use ends, as far as there is a timer for it. */
  #end = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {object} on
   * @param {HTMLElement} on.badge
   * @param {HTMLElement} on.banner
   * @param {HTMLElement} on.reason
   * @param {HTMLElement} on.retryButton
   * @param {HTMLElement} on.tokenButton
   * @param {import("./texts.js").Say} on.say
   * @param {() => void} on.onDue something else is to be drawn now, though nothing has happened
   */
  constructor(on) {
    this.on = on;
  }

  /**
   * @param {import("./connection.js").State} state
   * @param {import("./credentials.js").Credentials} credentials
   */
  draw(state, credentials) {
    const { badge, banner, reason, retryButton, tokenButton, say } = this.on;
    const name = nameOf(state, credentials);
    badge.dataset.state = name;
    setText(badge, say(name));
    const sentence = this.#sentence(name, state, credentials);
    banner.hidden = sentence === "";
    banner.dataset.tone = name === "refused" ? "bad" : "calm";
    setText(reason, sentence);
    retryButton.hidden = name !== "refused";
    tokenButton.hidden = name === "refused" && credentials.token === null;
    this.#expect(credentials.told?.expires ?? Infinity);
  }

  /** @param {number} end */
  #expect(end) {
    if (end === this.#end) return;
    this.#end = end;
    clearTimeout(this.#timer);
    const ms = end - SOON_MS - Date.now();
    if (ms > 0 && ms < LONGEST_MS) this.#timer = setTimeout(() => this.on.onDue(), ms);
  }

  /**
   * @param {string} name
   * @param {import("./connection.js").State} state
   * @param {import("./credentials.js").Credentials} credentials
   * @returns {string} empty where there is nothing to do about it
   */
  #sentence(name, { code, reason }, { reason: wish, told }) {
    const { say } = this.on;
    if (name === "asking") return wish ? say("tokenEnded", { reason: wish }) : say("tokenWanted");
    if (name === "refused") return say(REFUSALS.get(code) ?? "refusedMore", { reason: reason || `${code}` });
    const end = told?.expires ?? Infinity;
    return end - Date.now() < SOON_MS ? say("tokenEndsSoon", { time: new Date(end) }) : "";
  }
}

/**
 * @param {import("./connection.js").State} state
 * @param {import("./credentials.js").Credentials} credentials
 */
function nameOf(state, { isWanted }) {
  if (isWanted) return "asking";
  return state.name === "waiting" && !navigator.onLine ? "offline" : NAMES[state.name];
}

/** Leaves a node alone that says it already. @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
