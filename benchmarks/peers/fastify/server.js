// The chat service as Fastify and ioredis are taught: lists to and from the agents, Pub/Sub between replicas.
import { randomUUID } from "node:crypto";
import websocket from "@fastify/websocket";
import Fastify from "fastify";
import { Redis } from "ioredis";

const { PORT, HOST = "127.0.0.1", TENANTS = "tenant-456" } = process.env;
const REDIS_URL = process.env.REDIS_URL.replace(/^unix:\/\//, ""); // ioredis takes a path for a socket
const TASK_TTL = 3600;
const FRAMES = { streaming: "agent_chunk", completed: "agent_response", failed: "error" };

const redis = new Redis(REDIS_URL);
const subscriber = redis.duplicate();
const taking = redis.duplicate(); // waits in BRPOP, so that everything else needs a connection of its own
for (const client of [redis, subscriber, taking]) client.on("error", (error) => app.log.error(error));

const app = Fastify({ logger: { level: "warn" } });
await app.register(websocket);

// The sockets of this replica by channel.
const sockets = new Map();
const channelOf = (tenant, session) => `chat:${tenant}:${session}`;
const frame = (type, task, data) =>
  JSON.stringify({ type, ...task, timestamp: new Date().toISOString(), data });

async function connect(channel, socket) {
  const known = sockets.get(channel);
  if (known) return known.add(socket);
  sockets.set(channel, new Set([socket]));
  await subscriber.subscribe(channel);
}

async function disconnect(channel, socket) {
  const known = sockets.get(channel);
  known?.delete(socket);
  if (known?.size === 0) {
    sockets.delete(channel);
    await subscriber.unsubscribe(channel);
  }
}

subscriber.on("message", (channel, text) => {
  for (const socket of sockets.get(channel) ?? []) socket.send(text);
});

async function handle(raw) {
  const { task_id, status, seq, result } = JSON.parse(raw);
  const stored = await redis.get(`task:${task_id}`);
  if (!stored || !FRAMES[status]) return app.log.warn({ raw }, "not a callback of ours");
  const task = { task_id, ...JSON.parse(stored) };
  const text = frame(FRAMES[status], task, { status, seq, ...result });
  await redis.publish(channelOf(task.tenant_id, task.session_id), text);
}

let stopping = false;
async function work() {
  const queues = TENANTS.split(",").map((tenant) => `orchestrator:${tenant}:callbacks`);
  while (!stopping) {
    try {
      const found = await taking.brpop(...queues, 1);
      if (found) await handle(found[1]);
    } catch (error) {
      app.log.error(error);
      if (!(error instanceof SyntaxError)) await new Promise((resolve) => setTimeout(resolve, 1000)); // Redis is away
    }
  }
}

const id = { type: "string", minLength: 1, maxLength: 128 };
const tier = { type: "string", enum: ["free", "advance", "professional", "enterprise"] };
const sendSchema = {
  headers: {
    type: "object",
    required: ["x-tenant-id", "x-agent-id", "x-tenant-tier", "x-session-id"],
    properties: { "x-tenant-id": id, "x-agent-id": id, "x-tenant-tier": tier, "x-session-id": id },
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
  const queue = `execution:${agent_id}:${tier}`;
  const task = {
    task_id,
    session_id,
    tenant_id,
    agent_id,
    tier,
    message: request.body.message,
    callback_queue: `orchestrator:${tenant_id}:callbacks`,
    created_at: new Date().toISOString(),
  };
  await redis
    .multi()
    .set(`task:${task_id}`, JSON.stringify({ session_id, tenant_id }), "EX", TASK_TTL)
    .lpush(queue, JSON.stringify(task))
    .exec();
  reply.code(202);
  return { task_id, status: "queued", queue, session_id };
});

const followSchema = {
  params: { type: "object", properties: { session_id: id } },
  querystring: { type: "object", required: ["tenant_id", "tier"], properties: { tenant_id: id, tier } },
};

app.get("/ws/:session_id", { websocket: true, schema: followSchema }, async (socket, request) => {
  const { session_id } = request.params;
  const { tenant_id, tier } = request.query;
  const channel = channelOf(tenant_id, session_id);
  socket.on("error", (error) => app.log.warn(error));
  socket.on("close", () => disconnect(channel, socket));
  await connect(channel, socket);
  socket.send(frame("connection_ack", { session_id, tenant_id }, { tenant_tier: tier }));
});

app.addHook("onClose", async () => {
  stopping = true;
  for (const client of [redis, subscriber, taking]) client.disconnect();
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => app.close().then(() => process.exit(0)));

await app.listen({ port: Number(PORT), host: HOST });
work();
