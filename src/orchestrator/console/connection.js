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
const UNAUTHORIZED = 4401;

/**
 * @typedef {object} State
 * @property {"idle" | "connecting" | "connected" | "waiting" | "refused" | "done"} name
 * @property {string} [reason] the server's words, where it refused
 * @property {number} [code] the close code, where it refused
 */

export class Connection {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {string | null} what this socket was opened with, or has taken since */
  #token = null;
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
   * @param {() => string | null} to.token null: the service is not known to ask for one
   * @param {(frame: any) => void} to.onFrame every frame, the acknowledgement included
   * @param {(token: string | null, reason: string) => void} to.onUnauthorized with what was refused
   * @param {(state: State) => void} to.onState
   */
  constructor({ address, token, onFrame, onUnauthorized, onState }) {
    this.address = address;
    this.token = token;
    this.onFrame = onFrame;
    this.onUnauthorized = onUnauthorized;
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

  /** Go on with a newer token, on the same socket where there is one. */
  authenticate() {
    if (this.#state.name === "connected") this.send({ type: "auth", token: this.token() });
    else this.retry();
  }

  /** No socket would be let in, until `authenticate` brings what the service asks for. */
  bar() {
    this.#drop();
    this.#enter({ name: "refused", code: UNAUTHORIZED });
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
    const token = this.token();
    const socket = new WebSocket(address);
    // By the first frame rather than by a ticket: nothing secret is in any URL, no reconnection has
    // to wait for a request of its own, and the same frame brings a newer token in place.
    if (token !== null) socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token }));
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason);
    this.#socket = socket;
    this.#token = token;
    this.#expectWithin(ACK_MS);
  }

  /** @param {string} text */
  #receive(text) {
    const frame = parse(text);
    clearTimeout(this.#deadline);
    if (frame?.type === "connection_ack") this.#acknowledged(frame.data.ping_interval);
    if (frame?.type === "authenticated") this.#token = this.token();
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
    if (code === UNAUTHORIZED) this.onUnauthorized(this.#token, reason);
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
    socket.onopen = socket.onmessage = socket.onclose = null;
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
