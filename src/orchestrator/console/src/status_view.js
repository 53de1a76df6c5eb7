/** The state of the connection, small and honest: what is true now, and a way out of a refusal. */

const NAMES = {
  idle: "connecting",
  connecting: "connecting",
  connected: "connected",
  waiting: "reconnecting",
  refused: "refused",
  done: "refused",
};

export class StatusView {
  /**
   * @param {object} on
   * @param {HTMLElement} on.badge
   * @param {HTMLElement} on.banner
   * @param {HTMLElement} on.reason
   * @param {import("./texts.js").Say} on.say
   */
  constructor(on) {
    this.on = on;
  }

  /** @param {import("./connection.js").State} state */
  draw(state) {
    const name = this.#name(state);
    const { badge, banner, reason, say } = this.on;
    badge.dataset.state = name;
    if (badge.textContent !== say(name)) badge.textContent = say(name);
    banner.hidden = name !== "refused";
    const sentence = state.code === 4401 ? "unauthorized" : "refusedMore";
    reason.textContent = say(sentence, { reason: state.reason || String(state.code ?? "") });
  }

  /** @param {import("./connection.js").State} state */
  #name(state) {
    const isAway = state.name === "waiting" && !navigator.onLine;
    return isAway ? "offline" : NAMES[state.name];
  }
}
