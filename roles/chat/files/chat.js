"use strict";

const messages = [];
const $ = (id) => document.getElementById(id);
let running = null;

// Text goes into the page as text alone, whatever a model writes.
function show(role, text) {
  const paragraph = document.createElement("p");
  paragraph.className = role;
  paragraph.textContent = text;
  $("messages").append(paragraph);
  paragraph.scrollIntoView({ block: "end" });
  return paragraph;
}

function headers() {
  const key = $("key").value.trim();
  return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
}

async function request(path, options) {
  const answer = await fetch(path, { ...options, headers: headers() });
  if (answer.ok) return answer;
  const hint = answer.status === 401 ? " Enter the gateway's key above." : "";
  throw new Error(`${answer.status} ${(await answer.text()).slice(0, 300)}${hint}`);
}

async function listModels() {
  const wanted = document.body.dataset.model;
  const list = await (await request("v1/models")).json();
  $("model").replaceChildren(...list.data.map(({ id }) => new Option(id, id, id === wanted, id === wanted)));
}

// Server-sent events: blocks of lines, an empty line after each.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

async function ask(text) {
  messages.push({ role: "user", content: text });
  show("user", text);
  const paragraph = show("assistant", "");
  const started = performance.now();
  let content = "", first = null, finished = false;
  running = new AbortController();
  try {
    if (!$("model").value) await listModels();
    const body = JSON.stringify({ model: $("model").value, messages, stream: true });
    const answer = await request("v1/chat/completions", { method: "POST", body, signal: running.signal });
    for await (const data of events(answer)) {
      if (data === "[DONE]") { finished = true; break; }
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message ?? JSON.stringify(event.error));
      const delta = event.choices?.[0]?.delta?.content ?? "";
      if (delta && first === null) first = performance.now() - started;
      content += delta;
      paragraph.textContent = content;
      paragraph.scrollIntoView({ block: "end" });
    }
    if (!finished) throw new Error("the answer broke off");
  } catch (error) {
    show("error", error.name === "AbortError" ? "Stopped." : String(error.message));
  }
  running = null;
  if (content) messages.push({ role: "assistant", content });
  else messages.pop();
  if (first !== null) {
    const times = document.createElement("small");
    times.textContent = `first token after ${Math.round(first)} ms, ${Math.round(performance.now() - started)} ms in all`;
    paragraph.append(times);
  }
}

async function send() {
  const text = $("text").value.trim();
  if (!text || running) return;
  $("text").value = "";
  $("send").disabled = true;
  $("stop").disabled = false;
  await ask(text);
  $("send").disabled = false;
  $("stop").disabled = true;
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("stop").addEventListener("click", () => running?.abort());
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
$("key").addEventListener("change", () => listModels().catch((error) => show("error", error.message)));
listModels().catch((error) => show("error", error.message));
