// An agent in Node, with nothing but BRPOP and LPUSH: it says each word of a message backwards.
import Redis from "ioredis";

const tiers = ["enterprise", "professional", "advance", "free"];
const queues = tiers.map((tier) => `execution:agent-node:${tier}`);
// A push that ioredis repeats by itself could count twice; a check before each start would need INFO.
const options = { maxRetriesPerRequest: 0, enableReadyCheck: false };
const connect = () =>
  new Redis(process.env.REDIS_URL ?? "redis://localhost:6379/0", options).on("error", (error) => console.error(error.message));
const taking = connect(); // waits in BRPOP, so that everything else needs a connection of its own
const telling = connect();

function report(task, status, members) {
  const { callback_queue, task_id, attempt } = task;
  const callback = { action_type: "execution.callback", task_id, attempt, status, ...members };
  return telling.lpush(callback_queue, JSON.stringify(callback));
}

async function over(task) {
  return Date.now() > Date.parse(task.deadline) || (await telling.exists(task.cancel_key)) > 0;
}

async function run(task) {
  if (await over(task)) return; // nobody waits for it any more
  await report(task, "running");
  let seq = 0; // counts from 0 in each attempt
  for (const word of task.message.split(/\s+/)) {
    if (await over(task)) return;
    await report(task, "streaming", { seq: seq++, result: { delta: [...word].reverse().join("") + " " } });
  }
  await report(task, "completed"); // without a response of its own: the chunks, joined
}

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (stopping = true));
while (!stopping) {
  try {
    const found = await taking.brpop(...queues, 1); // a popped task is ours, so no wait is ever cut short
    if (found) await run(JSON.parse(found[1]));
  } catch (error) {
    console.error(error.message);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
process.exit(0);
