/** The conversation as this page knows it. Pure state: frames and answers go in, turns come out. */

import { newId } from "./identity.js";
import { act, end, isEnded, isUnsent, newTurn, settle } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */

const TURNS = 200;

export class Transcript {
  /** @param {Turn[]} [turns] */
  constructor(turns = []) {
    this.turns = turns.map(newTurn); // an earlier version of the page may have kept them
  }

  /**
   * @param {string} question
   * @param {{agent: string, user: string}} to kept with it: a repeated send must be the same send
   * @returns {Turn}
   */
  ask(question, to) {
    const turn = newTurn({ key: newId("msg-"), question, agent: to.agent, user: to.user });
    this.#add(turn);
    return turn;
  }

  /**
   * Join a question with its task, whose events may have come before the answer to the send.
   *
   * @param {Turn} turn
   * @param {string} task
   * @param {string | null} acceptedAt
   */
  accepted(turn, task, acceptedAt) {
    const early = this.byTask(task);
    if (early === turn) return;
    if (early) this.#takeOver(turn, early);
    if (turn.status === "sending") turn.status = "queued";
    Object.assign(turn, { task, acceptedAt, uncertain: false, retryAt: null });
    turn.revision += 1;
  }

  /** @param {Record<string, any>} frame a positioned one */
  apply(frame) {
    if (frame.task_id) act(this.#turnOf(frame.task_id), frame.type, frame.data ?? {});
  }

  /**
   * Bring in what the ledgers say; tasks that this page never heard of are shown as well, unless
   * they are older than all it still shows.
   *
   * @param {Record<string, any>[]} ledgers
   */
  settle(ledgers) {
    for (const ledger of ledgers) {
      const turn = this.byTask(ledger.task_id) ?? this.#insert(ledger);
      if (turn) settle(turn, ledger);
    }
  }

  /**
   * Take over questions asked in another window of the same session. Only the questions: the
   * answers come to every window by its own socket.
   *
   * @param {Turn[]} others
   * @returns {boolean} whether anything was new
   */
  adopt(others) {
    const before = this.#knowledge();
    for (const other of others) if (other.question !== null) this.#adoptOne(other);
    return before !== this.#knowledge();
  }

  /** @param {string} task */
  byTask(task) {
    return this.turns.find((turn) => turn.task === task);
  }

  /** @param {string} key */
  byKey(key) {
    return this.turns.find((turn) => turn.key === key);
  }

  /** @returns {Turn | undefined} the oldest question that has no answer to its send yet */
  unsent() {
    return this.turns.find(isUnsent);
  }

  /** @returns {Turn[]} */
  open() {
    return this.turns.filter((turn) => !isEnded(turn));
  }

  /** @param {Turn} turn @param {Turn} early */
  #takeOver(turn, early) {
    const { key, question, agent, user, askedAt, stopping, revision } = turn;
    Object.assign(turn, early, { key, question, agent, user, askedAt, stopping, revision });
    if (isEnded(turn)) turn.stopping = false;
    this.turns.splice(this.turns.indexOf(early), 1);
  }

  /** @param {string} task */
  #turnOf(task) {
    const known = this.byTask(task);
    if (known) return known;
    const turn = newTurn({ key: task, task, status: "queued" });
    this.#add(turn);
    return turn;
  }

  /** @param {Turn} turn */
  #add(turn) {
    this.turns.push(turn);
    if (this.turns.length > TURNS && isEnded(this.turns[0])) this.turns.shift();
  }

  /**
   * @param {Record<string, any>} ledger of a task without a turn
   * @returns {Turn | null} null where it is older than everything shown
   */
  #insert(ledger) {
    const acceptedAt = ledger.timeline?.accepted_at ?? null;
    const later = this.turns.findIndex((turn) => (turn.acceptedAt ?? "") > (acceptedAt ?? "~"));
    if (later === 0) return null;
    const turn = newTurn({
      key: ledger.task_id, task: ledger.task_id, status: "queued", acceptedAt,
    });
    this.turns.splice(later < 0 ? this.turns.length : later, 0, turn);
    return turn;
  }

  /** @param {Turn} other */
  #adoptOne(other) {
    const { key, question, agent, user, askedAt, task, acceptedAt } = other;
    let mine = this.byKey(key);
    if (!mine) {
      mine = newTurn({ key, question, agent, user, askedAt });
      this.#add(mine);
    }
    if (task !== null && mine.task === null) this.accepted(mine, task, acceptedAt);
    else if (isUnsent(mine) && isEnded(other)) end(mine, other.status, other.code, other.message);
  }

  #knowledge() {
    return this.turns.map((turn) => `${turn.key} ${turn.task} ${isEnded(turn)}`).join("\n");
  }
}
