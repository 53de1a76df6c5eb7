/** How a turn's state is put into words. */

import { isEnded } from "./turn.js";
import { reasonOf } from "./waits.js";

/** Ending codes of a message that another one of the session stands for. */
const REPLACED = new Set(["superseded", "merged"]);

/**
 * @typedef {object} Wording
 * @property {"busy" | "bad" | "quiet"} tone
 * @property {string} text
 * @property {string | null} more a second line
 */

/**
 * @param {import("./turn.js").Turn} turn
 * @param {import("./texts.js").Say} say
 * @param {number} now milliseconds since 1970
 * @returns {Wording}
 */
export function describe(turn, say, now) {
  if (turn.status === "completed") return { tone: "quiet", text: figures(turn, say), more: null };
  if (isEnded(turn)) return describeEnding(turn, say);
  if (turn.stopping) return { tone: "busy", text: say("stopping"), more: null };
  const more = reasonOf(turn, say)?.text ?? (turn.partial ? say("partial") : turn.detail);
  return { tone: "busy", text: progress(turn, say, now), more };
}

/** @param {import("./turn.js").Turn} turn @param {import("./texts.js").Say} say */
function figures(turn, say) {
  const parts = [say("completed")];
  if (turn.seconds !== null) parts.push(say("seconds", { n: Number(turn.seconds.toPrecision(2)) }));
  if (turn.tokens !== null) parts.push(say("tokens", { n: turn.tokens }));
  return parts.join(" · ");
}

/**
 * @param {import("./turn.js").Turn} turn
 * @param {import("./texts.js").Say} say
 * @returns {Wording}
 */
function describeEnding(turn, say) {
  const isReplaced = turn.status === "cancelled" && REPLACED.has(turn.code ?? "");
  if (isReplaced) return { tone: "quiet", text: say(turn.code ?? ""), more: null };
  const isQuiet = turn.status === "cancelled" || (turn.status === "unsent" && turn.code === null);
  const name = say(turn.status === "refused" ? "refusedSend" : turn.status);
  const isPlain = turn.code === null || turn.code === turn.status || turn.code === "expired";
  return {
    tone: isQuiet ? "quiet" : "bad",
    text: isPlain ? name : `${name} · ${turn.code}`,
    more: turn.code === "expired" ? say("expired") : isQuiet && isPlain ? null : turn.message,
  };
}

/**
 * @param {import("./turn.js").Turn} turn
 * @param {import("./texts.js").Say} say
 * @param {number} now
 */
function progress(turn, say, now) {
  if (turn.status === "sending") return sending(turn, say, now);
  if (turn.status === "retrying") return say("retrying", { n: turn.attempt });
  const isQueued = turn.status === "queued" || turn.status === "accepted";
  if (isQueued && turn.queuePosition) return say("queuedAt", { n: turn.queuePosition });
  return say(isQueued ? "queued" : turn.status);
}

/**
 * @param {import("./turn.js").Turn} turn
 * @param {import("./texts.js").Say} say
 * @param {number} now
 */
function sending(turn, say, now) {
  if (turn.retryAt === null) return say(turn.code === "unauthorized" ? "sendingBarred" : "sending");
  const n = Math.max(1, Math.ceil((turn.retryAt - now) / 1000));
  return say(turn.code === null ? "sendingAgain" : "limited", { n });
}
