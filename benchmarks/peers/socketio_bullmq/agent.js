// The agent of this peer, a process of its own: a BullMQ worker that streams its answer into the session's room.
import { setTimeout as sleep } from "node:timers/promises";
import { Emitter } from "@socket.io/redis-emitter";
import { Worker } from "bullmq";
import { Redis } from "ioredis";

const { QUEUES = "execution-agent-123-professional", CONCURRENCY = "100" } = process.env;
const REDIS_URL = process.env.REDIS_URL.replace(/^unix:\/\//, ""); // ioredis takes a path for a socket

const connection = new Redis(REDIS_URL, { maxRetriesPerRequest: null });
const emitter = new Emitter(new Redis(REDIS_URL));

function tell({ task_id, session_id, tenant_id }, type, data) {
  const timestamp = new Date().toISOString();
  const room = `chat:${tenant_id}:${session_id}`;
  emitter.to(room).emit(type, { type, task_id, session_id, tenant_id, timestamp, data });
}

// The message says how it is to be answered: {"chunks", "delta", "every_ms"?, "stamp"?}.
async function answer({ data: task }) {
  const { chunks, delta, every_ms = 0, stamp = false } = JSON.parse(task.message);
  const said = [];
  for (let seq = 0; seq < chunks; seq++) {
    if (every_ms && seq) await sleep(every_ms);
    const piece = (stamp ? `${process.hrtime.bigint()} `.padStart(21, "0") : "") + delta;
    said.push(piece);
    tell(task, "agent_chunk", { seq, delta: piece });
  }
  return { status: "completed", response: said.join("") };
}

const workers = QUEUES.split(",").map((queue) => {
  const worker = new Worker(queue, answer, { connection, concurrency: Number(CONCURRENCY) });
  worker.on("completed", (job, result) => tell(job.data, "agent_response", result));
  worker.on("failed", (job, error) => tell(job.data, "error", { status: "failed", message: error.message }));
  worker.on("error", (error) => console.error(error));
  return worker;
});
await Promise.all(workers.map((worker) => worker.waitUntilReady()));
console.log("ready");

for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => Promise.all(workers.map((worker) => worker.close())).then(() => process.exit(0)));
