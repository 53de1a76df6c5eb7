/** What agents ask while they work on a message, and what became of each question. Pure: data in, data out. */

/**
 * @typedef {object} Ask
 * @property {string} name the question's name within its task
 * @property {string} prompt
 * @property {Record<string, any> | null} schema JSON Schema of the answer
 * @property {string} expiresAt
 * @property {"open" | "sending" | "answered" | "expired" | "over"} state
 *   `over`: nobody may answer any more, for whatever reason
 * @property {any} [answer] what was answered on this page
 * @property {string | null} fault why the service did not take the answer
 */

/** @typedef {import("./turn.js").Turn} Turn */

/** @param {Ask} ask @returns {boolean} whether there is something for the person to do */
export function isOpen(ask) {
  return ask.state === "open" || ask.state === "sending";
}

/**
 * Let an update of the task act on its questions.
 *
 * @param {Turn} turn as it was before
 * @param {Record<string, any>} data of the `task_update`
 * @returns {boolean} whether the update's detail is about a question, and not for people
 */
export function noteAsk(turn, { status, detail }) {
  const name = detail?.question;
  if (status === "input_required" && typeof name === "string") {
    openAsk(turn, detail);
    return true;
  }
  const known = turn.asks.find((ask) => ask.name === name);
  if (known && (detail.answered === true || detail.expired === true)) {
    // Whose answer it was, the reply to ours will tell.
    if (known.state === "open") known.state = detail.answered === true ? "answered" : "expired";
    else if (detail.expired === true) known.state = "expired";
    return true;
  }
  // The agent goes on by itself. After a retry the question stays: the next attempt will ask it again.
  if (status === "running" && turn.status === "input_required") closeAsks(turn);
  return false;
}

/**
 * Let a ledger act on the questions.
 *
 * @param {Turn} turn
 * @param {Record<string, any> | null | undefined} asked its `input_required`
 */
export function settleAsks(turn, asked) {
  for (const ask of turn.asks) if (ask.name !== asked?.question && ask.state === "open") ask.state = "over";
  if (asked) openAsk(turn, asked);
}

/** The task has ended. @param {Turn} turn */
export function closeAsks(turn) {
  for (const ask of turn.asks) if (ask.state === "open") ask.state = "over";
}

/** @param {Turn} turn @param {Record<string, any>} told */
function openAsk(turn, told) {
  for (const ask of turn.asks) if (ask.name !== told.question && ask.state === "open") ask.state = "over";
  const schema = told.schema ?? null;
  const asked = { prompt: String(told.prompt ?? ""), schema, expiresAt: String(told.expires_at ?? "") };
  const known = turn.asks.find((ask) => ask.name === told.question);
  if (!known) turn.asks.push({ name: told.question, ...asked, state: "open", fault: null });
  else Object.assign(known, asked, known.state === "sending" ? {} : { state: "open", fault: null });
}
