/** The WebSocket and the queues: a card for each channel, and one for each of its messages. */

import { element, folded, prose, sample, table } from "./docs_dom.js";
import { membersOf, resolved, typeName } from "./docs_schema.js";

/** @typedef {import("./docs_schema.js").Schema} Schema */
/** @typedef {import("./docs_http.js").Entry} Entry */

const VERBS = /** @type {Record<string, string>} */ ({ send: "service sends", receive: "service receives" });

/**
 * The channels by title, each with its messages.
 * @param {Schema} asyncapi
 * @returns {Map<string, Entry[]>}
 */
export function channelEntries(asyncapi) {
  return new Map(
    Object.entries(asyncapi.channels).map(([name, channel]) => {
      const card = channelCard(asyncapi, name, channel);
      const messages = Object.keys(channel.messages).map((key) => messageEntry(asyncapi, name, key));
      return [channel.title, [{ id: card.id, label: channel.address, card }, ...messages]];
    }),
  );
}

/**
 * @param {Schema} asyncapi
 * @param {string} name
 * @param {Schema} channel
 * @returns {HTMLElement}
 */
function channelCard(asyncapi, name, channel) {
  const handshake = channel.bindings?.ws;
  return element(
    "article",
    { class: "item", id: `channel-${name}` },
    element("h3", { class: "address" }, element("code", {}, channel.address)),
    prose(channel.description),
    element("h4", {}, "Parts of the address"),
    table(["part", "meaning"], Object.entries(channel.parameters).map(([part, told]) => [`\`${part}\``, told.description])),
    ...(handshake ? [element("h4", {}, "Parameters of the handshake"), handshakeTable(asyncapi, handshake)] : []),
    ...endings(channel),
  );
}

/**
 * @param {Schema} asyncapi
 * @param {Schema} handshake
 * @returns {HTMLElement}
 */
function handshakeTable(asyncapi, handshake) {
  const rows = ["query", "headers"].flatMap((place) =>
    Object.entries(handshake[place].properties).map(([name, schema]) => [
      `\`${name}\``,
      place === "query" ? "query" : "header",
      typeName(asyncapi, schema),
      schema.description ?? "",
    ]),
  );
  return table(["name", "in", "type", "meaning"], rows);
}

/**
 * How sockets close and tasks fail; extensions of the document, where the channel has them.
 * @param {Schema} channel
 * @returns {HTMLElement[]}
 */
function endings(channel) {
  if (!channel["x-close-codes"]) return [];
  const closes = channel["x-close-codes"].map((/** @type {Schema} */ row) => [row.codes.join(", "), row.meaning, row.client]);
  const codes = Object.entries(channel["x-ending-codes"]).map(([code, when]) => [`\`${code}\``, String(when)]);
  return [
    element("h4", {}, "Close codes"),
    table(["code", "meaning", "what a client does"], closes),
    element("h4", {}, "Codes of tasks that do not complete"),
    table(["code", "when"], codes),
  ];
}

/**
 * @param {Schema} asyncapi
 * @param {string} channel
 * @param {string} key
 * @returns {Entry}
 */
function messageEntry(asyncapi, channel, key) {
  const message = asyncapi.components.messages[key];
  const reference = `#/channels/${channel}/messages/${key}`;
  const operation = operationOf(asyncapi, reference);
  const card = element(
    "article",
    { class: "item", id: `message-${key}` },
    element(
      "h3",
      { class: "address" },
      element("span", { class: "verb", "data-kind": operation.action }, VERBS[operation.action]),
      element("code", {}, message.title),
    ),
    prose(message.summary),
    replies(asyncapi, operation),
    membersOf(asyncapi, resolved(asyncapi, message.payload)),
    ...message.examples.map((/** @type {Schema} */ one) => folded("Example", sample(one.payload))),
  );
  return { id: card.id, label: message.title, card };
}

/**
 * @param {Schema} asyncapi
 * @param {string} reference
 * @returns {Schema}
 */
function operationOf(asyncapi, reference) {
  const holds = (/** @type {any} */ operation) => operation.messages.some((/** @type {Schema} */ one) => one.$ref === reference);
  return /** @type {Schema} */ (Object.values(asyncapi.operations).find(holds));
}

/**
 * @param {Schema} asyncapi
 * @param {Schema} operation
 * @returns {HTMLElement | null}
 */
function replies(asyncapi, operation) {
  const names = (operation.reply?.messages ?? []).map((/** @type {Schema} */ one) => one.$ref.split("/").at(-1));
  const titles = names.map((/** @type {string} */ name) => `\`${asyncapi.components.messages[name].title}\``);
  return titles.length ? prose(`Answered by ${titles.join(" or ")}.`) : null;
}
