/** Asks for a token, shows what it says, and lets it go on only when the service takes it. */

import { readToken } from "./token.js";

/** @typedef {import("./token.js").Told} Told */

const COPIED_MS = 1500;

export class TokenDialog {
  /** Rises with every opening and closing: an answer that comes after that is nobody's. */
  #round = 0;

  /**
   * @param {object} on
   * @param {HTMLDialogElement} on.dialog
   * @param {HTMLFormElement} on.form
   * @param {HTMLInputElement} on.field
   * @param {HTMLElement} on.title
   * @param {HTMLElement} on.more
   * @param {HTMLElement} on.fault
   * @param {HTMLElement} on.told
   * @param {HTMLElement} on.command
   * @param {HTMLButtonElement} on.copyButton
   * @param {HTMLButtonElement} on.cancelButton
   * @param {HTMLButtonElement} on.mainButton
   * @param {import("./texts.js").Say} on.say
   * @param {(token: string, told: Told) => Promise<string | null>} on.check
   *   the service's words where it refuses, else null
   * @param {(token: string, told: Told) => void} on.onToken
   */
  constructor(on) {
    this.on = on;
    on.form.addEventListener("submit", (event) => this.#submit(event));
    on.field.addEventListener("input", () => this.#show());
    on.copyButton.addEventListener("click", () => this.#copy());
    on.cancelButton.addEventListener("click", () => on.dialog.close());
    on.dialog.addEventListener("close", () => this.#reset());
  }

  /**
   * @param {import("./identity.js").Identity} identity whose token would do
   * @param {string} reason why another one is needed; empty: it is the first
   */
  open(identity, reason) {
    const { title, more, say } = this.on;
    this.#reset();
    this.on.command.replaceChildren(...unbroken(command(identity)));
    title.textContent = say(reason ? "tokenTitleNew" : "tokenTitle");
    more.textContent = reason ? say("tokenEndedMore", { reason: sentence(reason) }) : say("tokenMore");
    this.on.dialog.showModal();
    this.on.field.focus();
  }

  /** Nothing of a token stays in the page when the dialog is gone. */
  #reset() {
    this.#round += 1;
    this.on.field.value = "";
    this.#show();
    this.#wait(false);
  }

  #text() {
    // A terminal breaks a long line, and who copies a header takes its scheme along.
    return this.on.field.value.replace(/^\s*bearer\s/i, "").replace(/\s+/g, "");
  }

  #show() {
    const told = readToken(this.#text());
    this.on.told.textContent = told ? summary(told, this.on.say) : "";
    this.#complain("");
  }

  /** @param {SubmitEvent} event */
  async #submit(event) {
    event.preventDefault();
    const token = this.#text();
    const told = readToken(token);
    if (told === null) return this.#refuse(this.on.say("noToken"));
    const round = this.#round;
    this.#wait(true);
    const reason = await this.on.check(token, told);
    if (round !== this.#round) return;
    this.#wait(false);
    if (reason !== null) return this.#refuse(this.on.say("tokenRefused", { reason }));
    this.on.dialog.close();
    this.on.onToken(token, told);
  }

  /** @param {string} sentence */
  #refuse(sentence) {
    this.#complain(sentence);
    this.on.field.select();
    this.on.field.focus();
  }

  /** @param {string} sentence */
  #complain(sentence) {
    this.on.fault.textContent = sentence;
    this.on.field.setAttribute("aria-invalid", String(sentence !== ""));
  }

  /** @param {boolean} isChecking */
  #wait(isChecking) {
    this.on.mainButton.disabled = isChecking;
    this.on.mainButton.textContent = this.on.say(isChecking ? "tokenChecking" : "tokenUse");
  }

  async #copy() {
    const { command: shown, copyButton, say } = this.on;
    try {
      await navigator.clipboard.writeText(shown.textContent ?? "");
    } catch {
      return;
    }
    copyButton.textContent = say("copied");
    setTimeout(() => { copyButton.textContent = say("copy"); }, COPIED_MS);
  }
}

/**
 * @param {Told} told
 * @param {import("./texts.js").Say} say
 */
function summary({ tenant, tier, user, expires }, say) {
  const until = expires && say("tokenUntil", { time: new Date(expires) });
  return [tenant, tier, user, until].filter(Boolean).join(" · ");
}

/** @param {import("./identity.js").Identity} identity */
function command({ tenant, tier, owner, user }) {
  const sub = [owner, user].find((name) => /^[\w.@+-]+$/.test(name)) ?? "ada";
  return `orchestrator token create --tenant ${tenant} --sub ${sub} --tier ${tier}`;
}

/** Its words, none of which is to be broken at a hyphen. @param {string} text */
function unbroken(text) {
  return text.split(" ").flatMap((word) => {
    const whole = document.createElement("span");
    whole.textContent = word;
    return [whole, " "];
  }).slice(0, -1);
}

/** @param {string} reason of the service, which begins with a small letter */
function sentence(reason) {
  return reason.charAt(0).toUpperCase() + reason.slice(1);
}
