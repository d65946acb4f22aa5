"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const SHOWN_MAX = 20000;
const login = document.getElementById("login");
let spec;

/** Make an element; strings among the children become text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Text with `code` and **bold** in it. */
function prose(text) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    return part;
  });
  return make("span", {}, ...parts);
}

function resolve(node) {
  if (!node || !node.$ref) return node;
  return node.$ref.slice(2).split("/").reduce((found, key) => found[key], spec);
}

/** A schema in a few words, with links to the structures it names. */
function typeOf(schema) {
  if (!schema || Object.keys(schema).length === 0) return make("span", {}, "any JSON");
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return make("a", { href: `#structure-${name}` }, name);
  }
  if (schema.anyOf) {
    const parts = schema.anyOf.flatMap((option, i) => (i ? [" or ", typeOf(option)] : [typeOf(option)]));
    return make("span", {}, ...parts);
  }
  if (schema.enum) return make("span", {}, schema.enum.map((value) => JSON.stringify(value)).join(" or "));
  if ("const" in schema) return make("span", {}, JSON.stringify(schema.const));
  if (schema.type === "array") return make("span", {}, "array of ", typeOf(schema.items));
  if (schema.type === "object" && schema.additionalProperties) {
    return make("span", {}, "object of ", typeOf(schema.additionalProperties));
  }
  return make("span", {}, String(schema.type || "any JSON"));
}

function table(heads, rows) {
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))))),
  );
}

function inputFor(parameter) {
  const { schema, name, required } = parameter;
  if (schema.enum || schema.type === "boolean") {
    const values = schema.enum || ["true", "false"];
    return make(
      "select",
      { name, "aria-label": name },
      make("option", { value: "" }, required ? "(choose)" : "(not sent)"),
      ...values.map((value) => make("option", { value }, value)),
    );
  }
  return make("input", { name, "aria-label": name, placeholder: required ? "needed" : "not sent" });
}

function authorization() {
  const user = login.elements.user.value;
  const secret = login.elements.secret.value;
  if (!user && !secret) return {};
  const bytes = new TextEncoder().encode(`${user}:${secret}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curl(method, url, headers, body) {
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  if (headers.Authorization) parts.push("-u", quoted(`${login.elements.user.value}:…`));
  for (const [name, value] of Object.entries(headers)) {
    if (name !== "Authorization") parts.push("-H", quoted(`${name}: ${value}`));
  }
  if (body !== undefined) parts.push("-d", quoted(body));
  parts.push(quoted(url));
  return parts.join(" ");
}

/** Send what the form says, and show what comes back. */
async function send(form, method, path, parameters, output) {
  const headers = authorization();
  const query = new URLSearchParams();
  let target = path;
  for (const { name, in: place } of parameters) {
    const { value } = form.elements.namedItem(name);
    if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (place === "header") headers[name] = value;
    else query.set(name, value);
  }
  const area = form.elements.namedItem("body");
  const body = area ? area.value : undefined;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const url = location.origin + target + (query.size ? `?${query}` : "");
  output.replaceChildren(make("pre", {}, curl(method, url, headers, body)));
  const started = performance.now();
  try {
    const answer = await fetch(url, { method, headers, body });
    let text = await answer.text();
    if ((answer.headers.get("content-type") || "").startsWith("application/json") && text.length < SHOWN_MAX) {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } else if (text.length > SHOWN_MAX) {
      text = `${text.slice(0, SHOWN_MAX)}\n… (${text.length} characters in all)`;
    }
    const took = Math.round(performance.now() - started);
    const status = `${answer.status} ${answer.statusText}, ${took} ms`;
    output.append(make("p", { class: answer.ok ? "good" : "bad" }, status), make("pre", {}, text));
  } catch (error) {
    output.append(make("p", { class: "bad" }, `No answer: ${error.message}`));
  }
}

function tryIt(method, path, operation, content) {
  const output = make("div", { "aria-live": "polite" });
  const rows = operation.parameters.map((parameter) => [
    make("code", {}, parameter.name),
    inputFor(parameter),
    make("span", {}, typeOf(parameter.schema), ". ", prose(parameter.description || "")),
  ]);
  const body = content && make("textarea", { name: "body", spellcheck: "false", "aria-label": "Body" });
  if (body) body.value = JSON.stringify(content.example, null, 2);
  const form = make(
    "form",
    { autocomplete: "off" },
    rows.length ? make("h3", {}, "Parameters") : null,
    rows.length ? table(["Name", "Value", "Meaning"], rows) : null,
    body ? make("h3", {}, "Body: ", typeOf(content.schema)) : null,
    body ? prose(operation.requestBody.description || "") : null,
    body,
    make("p", {}, make("button", {}, `Send ${method.toUpperCase()}`)),
    output,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, method.toUpperCase(), path, operation.parameters, output);
  });
  return form;
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, reference]) => {
    const answer = resolve(reference);
    const kinds = Object.entries(answer.content || {}).flatMap(([kind, { schema }], i) => [
      i ? ", or " : "",
      make("code", {}, kind),
      " ",
      schema ? typeOf(schema) : "",
    ]);
    return [make("code", {}, status), make("span", {}, prose(answer.description)), make("span", {}, ...kinds)];
  });
  return [make("h3", {}, "Answers"), table(["Status", "Meaning", "Content"], rows)];
}

function call(method, path, operation) {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const details = make(
    "details",
    { class: "call", id: operation.operationId },
    make(
      "summary",
      {},
      make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("span", { class: "path" }, path),
      make("span", { class: "what" }, operation.summary),
    ),
  );
  // Made when it is first opened: a page of forty forms is slow to read for a machine, too.
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const description = operation.description ? make("p", {}, prose(operation.description)) : null;
    const inside = [description, tryIt(method, path, operation, content), ...answers(operation)];
    details.append(make("div", {}, ...inside.filter(Boolean)));
  });
  return details;
}

function structure(name, schema) {
  const rows = Object.entries(schema.properties || {}).map(([field, type]) => [
    make("code", {}, field),
    typeOf(type),
    prose(type.description || ((schema.required || []).includes(field) ? "needed" : "")),
  ]);
  return make(
    "div",
    { id: `structure-${name}` },
    make("h3", {}, name),
    prose(schema.description || ""),
    table(["Field", "Type", ""], rows),
  );
}

function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}

async function start() {
  const calls = document.getElementById("calls");
  const contents = document.getElementById("contents");
  spec = await (await fetch("/api/v1/openapi.json")).json();
  document.getElementById("version").textContent = spec.info.version;
  const paragraphs = spec.info.description.split("\n\n").map((text) => make("p", {}, prose(text)));
  document.getElementById("introduction").append(...paragraphs);
  calls.replaceChildren();
  for (const { name } of spec.tags) {
    calls.append(make("h2", {}, name));
    contents.append(make("b", {}, name));
    for (const [path, item] of Object.entries(spec.paths)) {
      for (const method of METHODS) {
        const operation = item[method];
        if (!operation || operation.tags[0] !== name) continue;
        calls.append(call(method, path, operation));
        contents.append(make("a", { href: `#${operation.operationId}` }, operation.summary));
      }
    }
  }
  const schemas = Object.entries(spec.components.schemas);
  document.getElementById("structures").append(...schemas.map(([name, schema]) => structure(name, schema)));
  addEventListener("hashchange", openTarget);
  openTarget();
}

login.addEventListener("submit", async (event) => {
  event.preventDefault();
  const who = document.getElementById("who");
  const answer = await fetch("/api/v1?q=this", { headers: authorization() });
  const text = await answer.text();
  who.textContent = answer.ok ? text : JSON.parse(text).msg;
  who.className = answer.ok ? "good" : "bad";
});

start().catch((error) => {
  document.getElementById("calls").textContent = `The description cannot be read: ${error.message}`;
});
