/**
 * One socket at a time, for as long as the page lives: opens it, proves that it is alive, and
 * opens the next one when it ends, as the table of close codes asks.
 */

import { backoff } from "./backoff.js";
import { judge } from "./closing.js";

const ACK_MS = 10_000;
const PONG_MS = 10_000;
const PING_S = 30;
// A socket that lasted this long was a good one: the next failure starts a new series of tries.
const STEADY_MS = 10_000;

/**
 * @typedef {object} State
 * @property {"idle" | "connecting" | "connected" | "waiting" | "refused" | "done"} name
 * @property {string} [reason] the server's words, where it refused
 * @property {number} [code] the close code, where it refused
 */

export class Connection {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {State} */
  #state = { name: "idle" };
  #tries = 0;
  #openedAt = 0;
  #waitIsOrder = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #deadline;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pings;

  /**
   * @param {object} to
   * @param {() => string | null} to.address asked before each try; null: not now, `nudge` follows
   * @param {(frame: any) => void} to.onFrame every frame, the acknowledgement included
   * @param {(state: State) => void} to.onState
   */
  constructor({ address, onFrame, onState }) {
    this.address = address;
    this.onFrame = onFrame;
    this.onState = onState;
  }

  get state() {
    return this.#state;
  }

  /** Connect now, unless that is done already, or the server refused or named a time to wait. */
  nudge() {
    if (this.#state.name === "connected") return this.#ping();
    const isForbidden = this.#waitIsOrder || this.#state.name === "refused";
    if (this.#socket === null && !isForbidden) this.#open();
  }

  /** Try again by hand, also after a refusal. */
  retry() {
    this.#drop();
    this.#open();
  }

  /** Give the socket up and take another after a back-off: what it brought can't be relied on. */
  distrust() {
    this.#drop();
    this.#retryLater();
  }

  /** Give up a socket that is on its way, until the next `nudge`. */
  hold() {
    this.#drop();
    this.#enter({ name: "connecting" });
  }

  stop() {
    this.#drop();
    this.#enter({ name: "idle" });
  }

  /** @param {object} frame dropped where there is no socket: pings and acks come again */
  send(frame) {
    if (this.#state.name === "connected") this.#socket?.send(JSON.stringify(frame));
  }

  #open() {
    clearTimeout(this.#timer);
    this.#waitIsOrder = false;
    const address = this.address();
    this.#enter({ name: this.#tries === 0 ? "connecting" : "waiting" });
    if (address === null) return;
    const socket = new WebSocket(address);
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason);
    this.#socket = socket;
    this.#expectWithin(ACK_MS);
  }

  /** @param {string} text */
  #receive(text) {
    const frame = parse(text);
    clearTimeout(this.#deadline);
    if (frame?.type === "connection_ack") this.#acknowledged(frame.data.ping_interval);
    if (frame !== null) this.onFrame(frame);
  }

  /** @param {number | undefined} interval seconds */
  #acknowledged(interval) {
    this.#openedAt = Date.now();
    clearInterval(this.#pings);
    this.#pings = setInterval(() => this.#ping(), (interval || PING_S) * 1000);
    this.#enter({ name: "connected" });
  }

  #ping() {
    this.send({ type: "ping" });
    this.#expectWithin(PONG_MS);
  }

  /**
   * The socket counts as dead when nothing at all comes for so long. A browser notices a cable
   * that was pulled only after minutes.
   *
   * @param {number} ms
   */
  #expectWithin(ms) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.distrust(), ms);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    this.#drop();
    const verdict = judge(code, reason);
    if (verdict.action === "retry") return this.#retryLater();
    if (verdict.action === "wait") return this.#wait(verdict.ms ?? 0, true);
    this.#enter({ name: verdict.action, code, reason });
  }

  #retryLater() {
    if (this.#openedAt > 0 && Date.now() - this.#openedAt > STEADY_MS) this.#tries = 0;
    this.#openedAt = 0;
    this.#tries += 1;
    this.#wait(backoff(this.#tries), false);
  }

  /** @param {number} ms @param {boolean} isOrder the server said so: nothing cuts it short */
  #wait(ms, isOrder) {
    this.#tries = Math.max(this.#tries, 1);
    this.#waitIsOrder = isOrder;
    this.#timer = setTimeout(() => this.#open(), ms);
    this.#enter({ name: "waiting" });
  }

  /** Let go of the socket without waiting for its closing handshake, which may never come. */
  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#deadline);
    clearInterval(this.#pings);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {State} state */
  #enter(state) {
    this.#state = state;
    this.onState(state);
  }
}

/**
 * @param {unknown} text
 * @returns {any} null where it is no JSON object; the gap that leaves shows in the next offset
 */
function parse(text) {
  try {
    return typeof text === "string" ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
