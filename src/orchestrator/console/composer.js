/** Where a message is written. */

// The service's limit, in characters as it counts them: code points, not UTF-16 units.
const LONGEST = 32_000;

export class Composer {
  /**
   * @param {object} on
   * @param {HTMLFormElement} on.form
   * @param {HTMLTextAreaElement} on.field
   * @param {HTMLButtonElement} on.sendButton
   * @param {HTMLButtonElement} on.stopButton
   * @param {HTMLElement} on.note
   * @param {import("./texts.js").Say} on.say
   * @param {(text: string) => void} on.onSend
   * @param {() => void} on.onStop
   */
  constructor(on) {
    this.on = on;
    on.form.addEventListener("submit", (event) => this.#submit(event));
    on.field.addEventListener("keydown", (event) => this.#key(event));
    on.field.addEventListener("input", () => this.#measure());
    on.stopButton.addEventListener("click", () => on.onStop());
    this.#measure();
  }

  /** @param {boolean} canStop */
  draw(canStop) {
    const { stopButton, field } = this.on;
    if (!canStop && document.activeElement === stopButton) field.focus();
    stopButton.hidden = !canStop;
  }

  get isEmpty() {
    return this.on.field.value.trim() === "";
  }

  /** @param {string} text back into the field: it could not be sent */
  put(text) {
    this.on.field.value = text;
    this.#measure();
  }

  focus() {
    this.on.field.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape" && !this.on.stopButton.hidden) this.on.onStop();
    // While an input method composes, Enter chooses a word and must not send half of one.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.on.form.requestSubmit();
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const text = this.on.field.value;
    if (text.trim() === "" || excess(text) > 0) return;
    this.on.field.value = "";
    this.#measure();
    this.on.onSend(text);
  }

  #measure() {
    const { field, sendButton, note, say } = this.on;
    const over = excess(field.value);
    sendButton.disabled = field.value.trim() === "" || over > 0;
    note.textContent = over > 0 ? say("tooLong", { n: over }) : "";
    field.setAttribute("aria-invalid", String(over > 0));
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }
}

/** @param {string} text @returns {number} characters above the limit, negative below it */
function excess(text) {
  return (text.length > LONGEST ? [...text].length : text.length) - LONGEST;
}
