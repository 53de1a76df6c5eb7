// The chat service as Socket.IO and BullMQ are taught: a message is a job, a session is a room.
import { randomUUID } from "node:crypto";
import { createAdapter } from "@socket.io/redis-adapter";
import { Queue } from "bullmq";
import Fastify from "fastify";
import { Redis } from "ioredis";
import { Server } from "socket.io";

const { PORT, HOST = "127.0.0.1" } = process.env;
const REDIS_URL = process.env.REDIS_URL.replace(/^unix:\/\//, ""); // ioredis takes a path for a socket
const TIERS = ["free", "advance", "professional", "enterprise"];

const redis = new Redis(REDIS_URL);
const subscriber = redis.duplicate();
for (const client of [redis, subscriber]) client.on("error", (error) => app.log.error(error));

const app = Fastify({ logger: { level: "warn" } });
const io = new Server(app.server, { adapter: createAdapter(redis, subscriber) });

// One queue for each agent and tier; BullMQ allows no colon in a name.
const queues = new Map();
function queueOf(agent, tier) {
  const name = `execution-${agent}-${tier}`;
  if (!queues.has(name)) {
    const defaultJobOptions = { removeOnComplete: { age: 3600, count: 1000 }, removeOnFail: { age: 24 * 3600 } };
    queues.set(name, new Queue(name, { connection: redis, defaultJobOptions }));
  }
  return queues.get(name);
}

const id = { type: "string", minLength: 1, maxLength: 128 };
const sendSchema = {
  headers: {
    type: "object",
    required: ["x-tenant-id", "x-agent-id", "x-tenant-tier", "x-session-id"],
    properties: {
      "x-tenant-id": id,
      "x-agent-id": id,
      "x-tenant-tier": { type: "string", enum: TIERS },
      "x-session-id": id,
    },
  },
  body: {
    type: "object",
    required: ["message"],
    properties: { message: { type: "string", minLength: 1, maxLength: 32768 } },
  },
  response: {
    202: {
      type: "object",
      properties: {
        task_id: { type: "string" },
        status: { type: "string" },
        queue: { type: "string" },
        session_id: { type: "string" },
      },
    },
  },
};

app.get("/health", async () => {
  await redis.ping();
  return { status: "healthy" };
});

app.post("/api/chat/send", { schema: sendSchema }, async (request, reply) => {
  const { "x-tenant-id": tenant_id, "x-agent-id": agent_id, "x-tenant-tier": tier, "x-session-id": session_id } =
    request.headers;
  const task_id = randomUUID();
  const queue = queueOf(agent_id, tier);
  const { message } = request.body;
  const created_at = new Date().toISOString();
  const task = { task_id, session_id, tenant_id, agent_id, tier, message, created_at };
  await queue.add("chat", task, { jobId: task_id });
  reply.code(202);
  return { task_id, status: "queued", queue: queue.name, session_id };
});

io.use((socket, next) => {
  const { tenant_id, tier, session_id } = socket.handshake.query;
  const valid = tenant_id && session_id && TIERS.includes(tier);
  next(valid ? undefined : new Error("tenant_id, tier and session_id are needed"));
});

io.on("connection", async (socket) => {
  const { tenant_id, tier, session_id } = socket.handshake.query;
  await socket.join(`chat:${tenant_id}:${session_id}`);
  const timestamp = new Date().toISOString();
  const type = "connection_ack";
  socket.emit(type, { type, session_id, tenant_id, timestamp, data: { tenant_tier: tier } });
});

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => io.close().then(() => process.exit(0)));

await app.listen({ port: Number(PORT), host: HOST });
