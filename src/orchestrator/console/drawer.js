/** The settings drawer: who talks to which agent, in which session, and what a token says of that. */

import { FIELDS, demoIdentity, faults } from "./identity.js";

/** @typedef {import("./identity.js").Identity} Identity */
/** @typedef {import("./identity.js").Field} Field */
/** @typedef {import("./token.js").Told} Told */

export class Drawer {
  #identity = demoIdentity();
  /** @type {Told | null} */
  #told = null;

  /**
   * @param {object} on
   * @param {HTMLDialogElement} on.dialog
   * @param {HTMLFormElement} on.form
   * @param {HTMLButtonElement} on.demoButton
   * @param {HTMLButtonElement} on.cancelButton
   * @param {HTMLDataListElement} on.agents
   * @param {HTMLElement} on.tokenPart
   * @param {HTMLElement} on.tokenUntil
   * @param {import("./texts.js").Say} on.say
   * @param {(identity: Identity) => void} on.onSave
   */
  constructor(on) {
    this.on = on;
    on.form.addEventListener("submit", (event) => this.#submit(event));
    on.form.addEventListener("input", () => this.#complain([]));
    on.demoButton.addEventListener("click", () => this.#fill(demoIdentity()));
    on.cancelButton.addEventListener("click", () => on.dialog.close());
    // A click beside the drawer lands on the dialog itself: its content fills it.
    on.dialog.addEventListener("click", (event) => {
      if (event.target === on.dialog) on.dialog.close();
    });
  }

  /**
   * @param {Identity} identity
   * @param {Told | null} told by the token in use
   * @param {string[]} agents known ones, to choose from
   */
  open(identity, told, agents) {
    this.#identity = identity;
    this.#told = told;
    this.on.agents.replaceChildren(...agents.map((agent) => new Option(agent, agent)));
    this.#showToken();
    this.#fill(identity);
    this.on.dialog.showModal();
  }

  close() {
    this.on.dialog.close();
  }

  #showToken() {
    const { demoButton, tokenPart, tokenUntil, say } = this.on;
    const expires = this.#told?.expires ?? null;
    demoButton.hidden = this.#isProven("tenant");
    tokenPart.hidden = this.#told === null;
    tokenUntil.textContent = expires ? say("tokenUntil", { time: new Date(expires) }) : "";
  }

  /** @param {Identity} identity */
  #fill(identity) {
    for (const name of FIELDS) {
      const field = this.#field(name);
      const isProven = this.#isProven(name);
      field.value = isProven ? (this.#told?.[name] ?? "") : identity[name];
      // A list of choices knows no `readonly`.
      if (field instanceof HTMLSelectElement) field.disabled = isProven;
      else field.readOnly = isProven;
    }
    this.#complain([]);
  }

  /**
   * @param {Field} name
   * @returns {name is "tenant" | "tier" | "user" | "session"} whether only another token changes it
   */
  #isProven(name) {
    if (this.#told === null || this.#told.isOperator || name === "agent") return false;
    return name !== "session" || this.#told.session !== null;
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const typed = FIELDS.filter((name) => !this.#isProven(name));
    const values = typed.map((name) => [name, this.#field(name).value.trim()]);
    const identity = { ...this.#identity, ...Object.fromEntries(values) };
    const wrong = faults(identity);
    this.#complain(wrong);
    if (wrong.length > 0) return this.#field(wrong[0]).focus();
    this.on.dialog.close();
    this.on.onSave(identity);
  }

  /** @param {Field[]} wrong */
  #complain(wrong) {
    for (const name of FIELDS) {
      const field = this.#field(name);
      field.setAttribute("aria-invalid", String(wrong.includes(name)));
      const note = document.getElementById(`${field.id}-fault`);
      const text = name === "user" ? "badUser" : "badId";
      if (note) note.textContent = wrong.includes(name) ? this.on.say(text) : "";
    }
  }

  /** @param {Field} name @returns {HTMLInputElement | HTMLSelectElement} */
  #field(name) {
    return /** @type {HTMLInputElement} */ (this.on.form.elements.namedItem(name));
  }
}
