/** Why a task waits and how long yet, as people say it. */

/** @typedef {{name: string, text: string}} Reason */

const NOBODY = "no worker for ";
const MINUTE = 60;

// What the service says in English, each with the name of its text. Figures become its {n}.
/** @type {[RegExp, string][]} */
const REASONS = [
  [/^no worker for /, "waitNobody"],
  [/^tenant concurrency \d+\/(\d+)$/, "waitTenant"],
  [/^(\d+) ahead$/, "waitAhead"],
  [/^more than (\d+) ahead$/, "waitMany"],
  [/^a free worker$/, "waitBusy"],
  [/^an earlier message of this session$/, "waitEarlier"],
  [/^the next attempt in (\d+) s$/, "waitAttempt"],
];

/**
 * @param {import("./turn.js").Turn} turn
 * @param {import("./texts.js").Say} say
 * @returns {Reason | null} nothing where the turn does not wait, or nobody knows more than that
 */
export function reasonOf(turn, say) {
  if (turn.wait === null) return null;
  const { reason, eta } = turn.wait;
  const [found, name] = known(reason);
  const agent = reason?.startsWith(NOBODY) ? reason.slice(NOBODY.length) : turn.agent;
  const why = name === null ? reason : say(name, { n: Number(found?.[1] ?? 0), agent });
  const text = [why, eta && say("waitEta", { low: span(eta[0], say), high: span(eta[1], say) })];
  return why || eta ? { name: name ?? reason ?? "waitEta", text: text.filter(Boolean).join(" · ") } : null;
}

/**
 * @param {string | null} reason
 * @returns {[RegExpExecArray | null, string | null]}
 */
function known(reason) {
  for (const [pattern, name] of REASONS) {
    const found = pattern.exec(reason ?? "");
    if (found) return [found, name];
  }
  return [null, null];
}

/** @param {number} seconds @param {import("./texts.js").Say} say */
function span(seconds, say) {
  return seconds > 2 * MINUTE ? say("minutes", { n: Math.round(seconds / MINUTE) }) : say("seconds", { n: seconds });
}
