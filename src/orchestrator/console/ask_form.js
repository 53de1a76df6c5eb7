/**
 * A form for an answer, from the simple cases of a JSON Schema: a text, a number, yes or no, a choice, or an object of
 * these. Anything else is written as JSON. The browser checks what it can, the service the rest.
 */

const CHOICES_SHOWN = 6;
const SHORT = 80;

/** @typedef {import("./texts.js").Say} Say */
/** @typedef {Record<string, any>} Schema */

/**
 * @typedef {object} Field
 * @property {HTMLElement} element
 * @property {() => any} read the value; undefined where nothing was filled in
 */

/**
 * @param {Schema | null} schema
 * @param {Say} say
 * @param {string} id no other field of the page begins with it
 * @returns {Field}
 */
export function answerField(schema, say, id) {
  const label = schema?.title ?? say("yourAnswer");
  if (isForm(schema)) return formField(/** @type {Schema} */ (schema), say, id);
  return simpleField(schema ?? { type: "string" }, { label, say, id, required: true }) ?? jsonField(label, say, id);
}

/** @param {any} schema @returns {boolean} whether all that it asks for are fields */
function isForm(schema) {
  const members = Object.values(schema?.properties ?? {});
  return schema?.type === "object" && members.length > 0 && members.every(isSimple);
}

/** @param {any} schema */
function isSimple(schema) {
  return choicesOf(schema) !== null || ["string", "number", "integer", "boolean"].includes(schema?.type);
}

/** @param {any} schema @returns {{value: any, text: string}[] | null} */
function choicesOf(schema) {
  const one = schema?.oneOf ?? schema?.anyOf;
  const plain = (/** @type {any} */ value) => ({ value, text: shown(value) });
  if (Array.isArray(schema?.enum)) return schema.enum.map(plain);
  if (!Array.isArray(one) || !one.every((option) => option && "const" in option)) return null;
  return one.map((option) => ({ value: option.const, text: String(option.title ?? shown(option.const)) }));
}

/** @param {any} value */
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * @param {Schema} schema
 * @param {{label: string, say: Say, id: string, required: boolean}} with_
 * @returns {Field | null} null where no field fits
 */
function simpleField(schema, { label, say, id, required }) {
  const choices = choicesOf(schema);
  if (choices) return choiceField(choices, { label, say, id, required });
  if (schema.type === "boolean") {
    const both = [{ value: true, text: say("yes") }, { value: false, text: say("no") }];
    return choiceField(both, { label, say, id, required });
  }
  if (schema.type === "number" || schema.type === "integer") return numberField(schema, { label, id, required });
  return isText(schema) ? textField(schema, { label, id, required }) : null;
}

/** @param {Schema} schema @returns {boolean} also where it says nothing of what it wants */
function isText(schema) {
  const rules = Object.keys(schema).filter((rule) => rule !== "title" && rule !== "description");
  return schema.type === "string" || rules.length === 0;
}

/**
 * @param {Schema} schema
 * @param {{label: string, id: string, required: boolean}} with_
 * @returns {Field}
 */
function textField(schema, { label, id, required }) {
  const isLong = !(schema.maxLength <= SHORT) && schema.format === undefined;
  const input = document.createElement(isLong ? "textarea" : "input");
  if (input instanceof HTMLTextAreaElement) input.rows = 2;
  else input.type = /** @type {any} */ ({ email: "email", date: "date", uri: "url" })[schema.format] ?? "text";
  if (schema.maxLength >= 0) input.maxLength = schema.maxLength;
  if (schema.minLength > 0) input.minLength = schema.minLength;
  input.required = required && !(schema.minLength === 0);
  if (typeof schema.default === "string") input.value = schema.default;
  const read = () => (input.value === "" && !required ? undefined : input.value);
  return { element: labelled(input, label, id, schema.description), read };
}

/**
 * @param {Schema} schema
 * @param {{label: string, id: string, required: boolean}} with_
 * @returns {Field}
 */
function numberField(schema, { label, id, required }) {
  const input = document.createElement("input");
  input.type = "number";
  input.step = schema.type === "integer" ? "1" : "any";
  if (typeof schema.minimum === "number") input.min = String(schema.minimum);
  if (typeof schema.maximum === "number") input.max = String(schema.maximum);
  if (typeof schema.default === "number") input.value = String(schema.default);
  input.required = required;
  const read = () => (input.value === "" ? undefined : Number(input.value));
  return { element: labelled(input, label, id, schema.description), read };
}

/**
 * @param {{value: any, text: string}[]} choices
 * @param {{label: string, say: Say, id: string, required: boolean}} with_
 * @returns {Field}
 */
function choiceField(choices, { label, say, id, required }) {
  if (choices.length > CHOICES_SHOWN) return selectField(choices, { label, say, id, required });
  const group = fieldset(label);
  const inputs = choices.map(({ text }) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: id, required });
    const option = document.createElement("label");
    option.append(input, text);
    option.dir = "auto";
    group.append(option);
    return input;
  });
  return { element: group, read: () => choices[inputs.findIndex((input) => input.checked)]?.value };
}

/**
 * @param {{value: any, text: string}[]} choices
 * @param {{label: string, say: Say, id: string, required: boolean}} with_
 * @returns {Field}
 */
function selectField(choices, { label, say, id, required }) {
  const select = document.createElement("select");
  select.required = required;
  select.append(new Option(say("choose"), ""), ...choices.map(({ text }, index) => new Option(text, String(index))));
  const read = () => (select.value === "" ? undefined : choices[Number(select.value)].value);
  return { element: labelled(select, label, id), read };
}

/**
 * @param {Schema} schema
 * @param {Say} say
 * @param {string} id
 * @returns {Field}
 */
function formField(schema, say, id) {
  const group = fieldset(schema.title ?? say("yourAnswer"));
  const needed = new Set(Array.isArray(schema.required) ? schema.required : []);
  const fields = Object.entries(schema.properties).map(([name, property], index) => {
    const with_ = { label: String(property.title ?? name), say, id: `${id}-${index}`, required: needed.has(name) };
    const field = /** @type {Field} */ (simpleField(property, with_));
    group.append(field.element);
    return { name, read: field.read };
  });
  const read = () => {
    const filled = fields.map(({ name, read: value }) => [name, value()]);
    return Object.fromEntries(filled.filter(([, value]) => value !== undefined));
  };
  return { element: group, read };
}

/**
 * @param {string} label
 * @param {Say} say
 * @param {string} id
 * @returns {Field}
 */
function jsonField(label, say, id) {
  const input = document.createElement("textarea");
  Object.assign(input, { rows: 3, required: true, spellcheck: false });
  input.addEventListener("input", () => input.setCustomValidity(""));
  const read = () => {
    try {
      return JSON.parse(input.value);
    } catch {
      input.setCustomValidity(say("noJson"));
      input.reportValidity();
      return undefined;
    }
  };
  return { element: labelled(input, label, id, say("asJson")), read };
}

/** @param {string} legend */
function fieldset(legend) {
  const group = document.createElement("fieldset");
  const head = document.createElement("legend");
  head.textContent = legend;
  head.dir = "auto";
  group.append(head);
  return group;
}

/**
 * @param {HTMLElement} input
 * @param {string} text
 * @param {string} id
 * @param {unknown} [description]
 */
function labelled(input, text, id, description) {
  const whole = document.createElement("div");
  const label = document.createElement("label");
  Object.assign(label, { htmlFor: id, textContent: text, dir: "auto" });
  input.id = id;
  whole.append(label, input);
  if (typeof description !== "string" || description === "") return whole;
  const more = document.createElement("p");
  Object.assign(more, { id: `${id}-more`, textContent: description, dir: "auto" });
  input.setAttribute("aria-describedby", more.id);
  whole.append(more);
  return whole;
}
