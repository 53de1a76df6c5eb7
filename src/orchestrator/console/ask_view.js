/** One question of an agent on the page: what is asked, and a form as long as it may be answered. */

import { isOpen } from "./asks.js";
import { answerField } from "./ask_form.js";

/** @typedef {import("./asks.js").Ask} Ask */

const SHOWN = 300;
let made = 0;

export class AskView {
  /** What the form was made for: what is filled in stays while that stays. */
  #asked = "";

  /**
   * @param {Ask} ask
   * @param {object} with_
   * @param {HTMLTemplateElement} with_.template
   * @param {import("./texts.js").Say} with_.say
   * @param {(ask: Ask, answer: any) => void} with_.onAnswer
   */
  constructor(ask, { template, say, onAnswer }) {
    this.ask = ask;
    this.say = say;
    this.onAnswer = onAnswer;
    made += 1;
    this.id = `ask-${made}`;
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.element = /** @type {HTMLElement} */ (copy.firstElementChild);
    this.form = /** @type {HTMLFormElement} */ (this.part("ask-form"));
    this.part("prompt").id = `${this.id}-prompt`;
    this.form.setAttribute("aria-labelledby", this.part("prompt").id);
    this.form.addEventListener("submit", (event) => this.#submit(event));
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    return /** @type {HTMLElement} */ (this.element.querySelector(`.${name}`));
  }

  draw() {
    const { ask, say } = this;
    const asked = JSON.stringify([ask.prompt, ask.schema]);
    if (asked !== this.#asked && isOpen(ask)) this.#make(asked);
    this.element.dataset.state = ask.state;
    this.part("prompt").textContent = ask.prompt;
    this.part("until").textContent = say("askUntil", { time: new Date(ask.expiresAt) });
    this.part("ask-fault").textContent = ask.fault ?? "";
    this.part("given").textContent = isOpen(ask) ? "" : this.#outcome();
    // Not disabled while it is sent: that would take the focus away from who pressed it.
    this.part("ask-send").setAttribute("aria-disabled", String(ask.state === "sending"));
    this.part("ask-send").textContent = say(ask.state === "sending" ? "answerSending" : "answerSend");
    this.#close(!isOpen(ask));
  }

  /** @param {boolean} isClosed */
  #close(isClosed) {
    const wasHere = this.form.contains(document.activeElement);
    this.form.hidden = isClosed;
    if (isClosed && wasHere) this.part("given").focus();
  }

  /** @param {string} asked */
  #make(asked) {
    this.#asked = asked;
    this.field = answerField(this.ask.schema, this.say, this.id);
    const whole = document.createElement("fieldset");
    whole.className = "fields";
    whole.append(this.field.element);
    this.part("field").replaceChildren(whole);
  }

  #outcome() {
    const { ask, say } = this;
    if (ask.state === "expired") return say("askExpired");
    if (ask.state === "over") return say("askOver");
    if (ask.answer === undefined) return say("answeredElsewhere");
    const text = typeof ask.answer === "string" ? ask.answer : JSON.stringify(ask.answer);
    return say("youAnswered", { answer: text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text });
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    if (this.ask.state !== "open") return;
    const answer = this.field?.read();
    if (answer !== undefined) this.onAnswer(this.ask, answer);
  }
}
