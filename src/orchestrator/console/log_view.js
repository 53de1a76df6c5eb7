/** The conversation on the page: its turns in order, and a scroll that follows until one reads back. */

import { Announcer } from "./announcer.js";
import { TurnView } from "./turn_view.js";
import { reasonOf } from "./waits.js";
import { describe } from "./wording.js";

/** @typedef {import("./turn.js").Turn} Turn */
/** @typedef {import("./session.js").Session} Session */

const NEAR_PX = 40;

export class LogView {
  /** @type {Map<Turn, TurnView>} */
  #views = new Map();
  #following = true;

  /**
   * @param {object} on
   * @param {HTMLElement} on.scroller
   * @param {HTMLElement} on.list
   * @param {HTMLElement} on.welcome
   * @param {HTMLButtonElement} on.latest
   * @param {HTMLElement} on.region
   * @param {HTMLTemplateElement} on.template
   * @param {HTMLTemplateElement} on.askTemplate
   * @param {import("./texts.js").Say} on.say
   * @param {() => Session} on.session
   */
  constructor(on) {
    this.on = on;
    this.announcer = new Announcer(on.region);
    on.scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    on.latest.addEventListener("click", () => this.follow());
    // A keyboard that slides in on a phone makes the page shorter under the reader's eyes.
    new ResizeObserver(() => this.#followOn()).observe(on.scroller);
  }

  /** Forget the conversation shown; the next drawing starts from nothing. */
  clear() {
    this.#views.clear();
    this.on.list.replaceChildren();
    this.#following = true;
  }

  follow() {
    this.#following = true;
    this.#followOn();
  }

  /** @param {boolean} isNew whether a reader already knows what is drawn here first */
  draw(isNew) {
    const now = Date.now();
    const turns = this.#visible();
    this.on.welcome.hidden = turns.length > 0;
    this.on.list.classList.toggle("many", turns.filter((turn) => this.#isOpen(turn)).length > 1);
    const drawn = turns.map((turn, index) => this.#drawTurn(turn, index, now, isNew));
    this.#removeOthers(turns);
    if (drawn.some(Boolean)) this.#followOn();
  }

  /**
   * A task whose question is on its way shows up under that question as soon as the send is
   * answered; until then it would look like a stranger's.
   */
  #visible() {
    const { transcript, outbox } = this.on.session();
    if (!outbox.busy) return transcript.turns;
    return transcript.turns.filter((turn) => turn.question !== null || this.#views.has(turn));
  }

  /** @param {Turn} turn */
  #isOpen(turn) {
    return this.on.session().transcript.open().includes(turn);
  }

  /**
   * @param {Turn} turn
   * @param {number} index
   * @param {number} now
   * @param {boolean} isNew
   */
  #drawTurn(turn, index, now, isNew) {
    const view = this.#views.get(turn) ?? this.#add(turn);
    const { list } = this.on;
    if (list.children[index] !== view.element) list.insertBefore(view.element, list.children[index]);
    const drawn = view.draw(now);
    if (isNew) this.announcer.skip(turn);
    else if (drawn) this.announcer.tell(turn, describe(turn, this.on.say, now).text, reasonOf(turn, this.on.say));
    return drawn;
  }

  /** @param {Turn} turn */
  #add(turn) {
    const view = new TurnView(turn, {
      template: this.on.template,
      say: this.on.say,
      onStop: () => this.on.session().stop(turn),
      onAgain: () => this.on.session().sendAgain(turn),
      askTemplate: this.on.askTemplate,
      onAnswer: (ask, answer) => this.on.session().answer(turn, ask, answer),
    });
    this.#views.set(turn, view);
    return view;
  }

  /** @param {Turn[]} turns */
  #removeOthers(turns) {
    const shown = new Set(turns);
    for (const [turn, view] of this.#views) {
      if (shown.has(turn)) continue;
      view.element.remove();
      this.#views.delete(turn);
    }
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.on.scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.on.latest.hidden = this.#following;
  }

  #followOn() {
    if (this.#following) this.on.scroller.scrollTop = this.on.scroller.scrollHeight;
    this.#look();
  }
}
