/** One turn on the page. */

import { AskView } from "./ask_view.js";
import { Markup } from "./markup.js";
import { isEnded, isRepeatable } from "./turn.js";
import { describe } from "./wording.js";

/** @typedef {import("./turn.js").Turn} Turn */

const COPIED_MS = 1500;

export class TurnView {
  #revision = -1;
  #second = -1;
  /** @type {AskView[]} */
  #asks = [];

  /**
   * @param {Turn} turn
   * @param {object} with_
   * @param {HTMLTemplateElement} with_.template
   * @param {import("./texts.js").Say} with_.say
   * @param {(turn: Turn) => void} with_.onStop
   * @param {(turn: Turn) => void} with_.onAgain
   * @param {HTMLTemplateElement} with_.askTemplate
   * @param {(ask: import("./asks.js").Ask, answer: any) => void} with_.onAnswer
   */
  constructor(turn, { template, say, onStop, onAgain, askTemplate, onAnswer }) {
    this.turn = turn;
    this.say = say;
    this.newAsk = { template: askTemplate, say, onAnswer };
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.element = /** @type {HTMLElement} */ (copy.firstElementChild);
    this.markup = new Markup(this.part("answer"));
    this.part("stop").addEventListener("click", () => onStop(turn));
    this.part("again").addEventListener("click", () => onAgain(turn));
    this.part("copy").addEventListener("click", () => this.#copy());
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    return /** @type {HTMLElement} */ (this.element.querySelector(`.${name}`));
  }

  /**
   * @param {number} now milliseconds since 1970
   * @returns {boolean} whether anything was drawn
   */
  draw(now) {
    const second = this.turn.retryAt === null ? -1 : Math.floor(now / 1000);
    if (this.turn.revision === this.#revision && second === this.#second) return false;
    this.#revision = this.turn.revision;
    this.#second = second;
    this.#drawTexts();
    this.#drawAsks();
    this.#drawState(now);
    return true;
  }

  #drawTexts() {
    const { turn } = this;
    const question = this.part("question");
    question.textContent = turn.question ?? this.say("elsewhere");
    question.classList.toggle("unknown", turn.question === null);
    this.markup.show(turn.answer);
    this.part("sources").hidden = turn.sources.length === 0;
    this.part("list").replaceChildren(...turn.sources.map(sourceItem));
  }

  #drawAsks() {
    for (const ask of this.turn.asks.slice(this.#asks.length)) {
      const view = new AskView(ask, this.newAsk);
      this.#asks.push(view);
      this.part("asks").append(view.element);
    }
    for (const view of this.#asks) view.draw();
  }

  /** @param {number} now */
  #drawState(now) {
    const { turn } = this;
    const { tone, text, more } = describe(turn, this.say, now);
    this.element.dataset.status = turn.status;
    this.element.dataset.tone = tone;
    setText(this.part("state"), text);
    setText(this.part("more"), more ?? "");
    this.part("more").hidden = !more;
    this.part("stop").hidden = isEnded(turn) || turn.stopping;
    this.part("copy").hidden = !isEnded(turn) || turn.answer === "";
    this.part("again").hidden = !isRepeatable(turn);
  }

  async #copy() {
    const button = this.part("copy");
    try {
      await navigator.clipboard.writeText(this.turn.answer);
    } catch {
      return;
    }
    button.textContent = this.say("copied");
    setTimeout(() => { button.textContent = this.say("copy"); }, COPIED_MS);
  }
}

/** Leaves a node alone that says it already. @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {import("./turn.js").Source} source */
function sourceItem({ title, url }) {
  const item = document.createElement("li");
  if (url === null) {
    item.textContent = title;
    return item;
  }
  const link = document.createElement("a");
  Object.assign(link, { href: url, textContent: title, target: "_blank", rel: "noopener noreferrer" });
  item.append(link);
  return item;
}
