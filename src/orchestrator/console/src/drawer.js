/** The settings drawer: who talks to which agent, in which session. */

import { FIELDS, demoIdentity, faults } from "./identity.js";

/** @typedef {import("./identity.js").Identity} Identity */
/** @typedef {import("./identity.js").Field} Field */

export class Drawer {
  /**
   * @param {object} on
   * @param {HTMLDialogElement} on.dialog
   * @param {HTMLFormElement} on.form
   * @param {HTMLButtonElement} on.demoButton
   * @param {HTMLButtonElement} on.cancelButton
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

  /** @param {Identity} identity */
  open(identity) {
    this.#fill(identity);
    this.on.dialog.showModal();
  }

  /** @param {Identity} identity */
  #fill(identity) {
    for (const name of FIELDS) this.#field(name).value = identity[name];
    this.#complain([]);
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const values = FIELDS.map((name) => [name, this.#field(name).value.trim()]);
    const identity = /** @type {Identity} */ (Object.fromEntries(values));
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
