// The chat page: conversations that stay in this browser, answered by the models of this service.

import { Problem, answer, listModels, readText } from "./api.js";
import { ask, askKey, tellModel } from "./dialogs.js";
import { $, button, copy, download, element, marked, markedCode, unmarked } from "./dom.js";
import * as kept from "./kept.js";
import { draw, editor, redraw } from "./messages.js";

const LABEL = "AI-generated";
const SAVE_MS = 1000;

let models = [];
let early = false; // a question was sent before there were models, and goes when they are there
let conversations = kept.conversations();
let current = blank();
const running = new Map(); // of each conversation that is being answered: how to stop it
const problems = new Map(); // of each conversation: what went wrong last

function blank() {
  return { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, title: "", model: "", created: new Date().toISOString(), changed: "", messages: [] };
}

// Models ------------------------------------------------------------------------------------------------------------

async function loadModels() {
  try {
    models = await listModels(kept.key());
    problems.delete("");
  } catch (problem) {
    models = [];
    problems.set("", { problem, again: loadModels });
    if (problem.status === 401 && (await newKey(problem))) {
      return;
    }
  }
  drawModels();
  drawProblem();
  if (early && chosen()) {
    $("composer").requestSubmit();
  }
}

const chosen = () => models.find((model) => model.id === $("model").value);
const labelOf = (model) => model?.etymon?.label || LABEL;

function drawModels() {
  const wanted = [current.model, kept.choice("model"), models[0]?.id].find((id) => models.some((model) => model.id === id));
  $("model").replaceChildren(...models.map((model) => element("option", { value: model.id }, model.id)));
  $("model").value = wanted ?? "";
  $("model").disabled = !models.length;
  drawOrigin();
}

function drawOrigin() {
  const model = chosen();
  const { base, digest } = model?.etymon ?? {};
  const facts = [base && `from ${base}`, digest && `sha256 ${digest.slice(0, 12)}…`].filter(Boolean);
  $("about").textContent = model ? facts.join(" · ") || "About this model" : "";
  $("about").hidden = !model;
  $("about").setAttribute("aria-label", `About ${model?.id}: ${facts.join(" · ")}`);
  if (!current.messages.length) {
    $("messages").replaceChildren(welcome());
  }
  drawSend();
}

const tell = (model) => tellModel(model, (path) => readText(path, kept.key()));

async function newKey(problem) {
  const asks = problem ? "The service asks for a key." : "The key that your questions are sent with.";
  const said = problem && kept.key() ? problem.message : `${asks} Whoever runs the service gives you one.`;
  const changed = await askKey(said);
  if (changed) {
    await loadModels();
  }
  return changed;
}

// Conversations -----------------------------------------------------------------------------------------------------

function drawList() {
  const sorted = [...conversations.values()].sort((one, other) => (one.changed < other.changed ? 1 : -1));
  const rows = sorted.map((each) => {
    const open = button(each.title, () => choose(each), each.id === current.id ? { "aria-current": "true" } : {});
    open.title = each.title;
    return element("li", { dir: "auto" }, open);
  });
  $("conversations").replaceChildren(...rows);
  $("none-yet").hidden = rows.length > 0;
  $("export-all").disabled = !rows.length;
  $("more").hidden = !conversations.has(current.id);
  document.title = current.title ? `${current.title} · Etymon` : "Etymon";
}

function choose(conversation) {
  current = conversation;
  kept.choose("open", conversation.id);
  showSide(false);
  drawModels();
  drawList();
  drawAll();
  $("talk").scrollTop = $("talk").scrollHeight;
  focus();
}

/** Where to go on: at the next question, or above it where that would call up a keyboard on the screen. */
const focus = () => (matchMedia("(hover: hover)").matches ? $("question") : $("talk")).focus({ preventScroll: true });

function keep(conversation) {
  if (!conversations.has(conversation.id)) {
    return; // it was deleted while it was being answered
  }
  try {
    kept.keep(conversation);
  } catch {
    const problem = new Problem("The browser has no room left: this conversation is not kept. Export and delete older ones.");
    problems.set(conversation.id, { problem });
  }
}

async function rename() {
  const conversation = current;
  const name = await ask("Rename the conversation", "", "Rename", conversation.title);
  if (typeof name === "string") {
    conversation.title = name;
    keep(conversation);
    drawList();
  }
}

async function remove() {
  const conversation = current;
  if (await ask("Delete the conversation?", `“${conversation.title}” is kept in this browser only and cannot be brought back.`, "Delete")) {
    running.get(conversation.id)?.abort();
    conversations.delete(conversation.id);
    kept.forget(conversation);
    choose(blank());
  }
}

const exported = (list) => ({ format: "etymon-conversations/1", exported: new Date().toISOString(), label: LABEL, conversations: list });
const fileName = (title) => `${title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "") || "conversation"}.json`;

// Asking ------------------------------------------------------------------------------------------------------------

function send(text) {
  const conversation = current;
  if (!conversations.has(conversation.id)) {
    conversation.title = text.slice(0, 80).replace(/[\s#*`>_|]+/g, " ").trim() || "Conversation";
    conversations.set(conversation.id, conversation);
    kept.choose("open", conversation.id);
  }
  conversation.messages.push({ role: "user", content: text, at: new Date().toISOString() });
  respond(conversation);
}

/** Answer the last question, in place of ``before`` where that is given; it comes back if nothing comes instead. */
async function respond(conversation, before = null) {
  const model = chosen();
  const { messages } = conversation;
  const stop = new AbortController();
  const message = { role: "assistant", content: "", model: shortened(model), label: labelOf(model), end: "running", at: new Date().toISOString() };
  const asked = heard(messages);
  messages.push(message);
  Object.assign(conversation, { model: model.id, changed: message.at });
  running.set(conversation.id, stop);
  problems.delete(conversation.id);
  keep(conversation);
  drawList();
  drawAll();
  scroll(true);
  say("Answering.");
  let saved = Date.now();
  try {
    for await (const piece of answer(model.id, asked, kept.key(), stop.signal)) {
      take(message, piece);
      later(conversation, message);
      if (Date.now() - saved > SAVE_MS) {
        saved = Date.now();
        keep(conversation);
      }
    }
    message.end = message.end === "running" ? "stop" : message.end;
  } catch (problem) {
    message.end = stop.signal.aborted ? "stopped" : "lost";
    if (!stop.signal.aborted) {
      problems.set(conversation.id, { problem: problem instanceof Problem ? problem : new Problem(String(problem)), again: () => again(conversation) });
    }
  }
  if (!message.content && !message.thought && message.end !== "stop") {
    messages.pop();
    messages.push(...(before ? [before] : []));
  }
  running.delete(conversation.id);
  conversation.changed = new Date().toISOString();
  keep(conversation);
  drawList();
  if (conversation === current) {
    const follow = atEnd();
    drawAll();
    scroll(follow);
    say(message.end === "lost" ? "" : $("messages").lastChild?.querySelector(".text")?.textContent ?? "");
  }
  if (problems.get(conversation.id)?.problem.status === 401 && (await newKey(problems.get(conversation.id).problem))) {
    again(conversation);
  }
}

/** What goes to the model: nothing that the service's policy refused, which it would refuse every time. */
function heard(messages) {
  const refused = (message) => message?.end === "content_filter";
  const passed = messages.filter((message, row) => !refused(message) && !refused(messages[row + 1]));
  return passed.map(({ role, content, label }) => ({ role, content: label ? unmarked(content, label) : content }));
}

const shortened = ({ id, etymon }) => ({ id, etymon });

function take(message, piece) {
  const [choice] = piece.choices ?? [];
  message.content += choice?.delta?.content ?? "";
  const thought = choice?.delta?.reasoning_content ?? choice?.delta?.reasoning;
  message.thought = thought ? (message.thought ?? "") + thought : message.thought;
  message.end = choice?.finish_reason ?? message.end;
  message.aigc = piece.aigc ?? message.aigc;
}

/** Ask the last question once more. */
function again(conversation) {
  if (running.has(conversation.id) || !chosen()) {
    return;
  }
  const last = conversation.messages.at(-1);
  const before = last?.role === "assistant" ? conversation.messages.pop() : null;
  respond(conversation, before);
}

function edit(message) {
  const conversation = current;
  if (running.has(conversation.id)) {
    return;
  }
  const [form, field] = editor(message, (text) => {
    if (text === null || running.has(conversation.id) || !chosen()) {
      drawn.delete(message);
      drawAll();
      return;
    }
    conversation.messages.length = conversation.messages.indexOf(message);
    send(text);
    $("question").focus();
  });
  drawn.get(message).node.replaceChildren(form);
  field.focus();
}

// Drawing -----------------------------------------------------------------------------------------------------------

const drawn = new WeakMap(); // of each message: its element, and in which state it was drawn

/** Show the conversation. Elements that need no change stay, and with them what is selected in them. */
function drawAll() {
  const busy = running.has(current.id);
  const { messages } = current;
  const nodes = messages.map((message, row) => {
    const last = row === messages.length - 1 && !busy;
    const state = `${message.end} ${last} ${message.content.length}`;
    if (drawn.get(message)?.state !== state) {
      const regenerate = message.role === "assistant" && last && (() => again(current));
      drawn.set(message, { state, node: draw(message, { tell, said, edit: () => edit(message), again: regenerate }) });
    }
    return drawn.get(message).node;
  });
  const inside = $("messages").contains(document.activeElement);
  replace($("messages"), nodes.length ? nodes : [welcome()]);
  if (inside && document.activeElement === document.body) {
    focus();
  }
  drawSend();
  drawProblem();
}

function replace(container, nodes) {
  const before = [...container.children];
  const same = nodes.findIndex((node, row) => node !== before[row]);
  const kept = same < 0 ? nodes.length : same;
  before.slice(kept).forEach((node) => node.remove());
  container.append(...nodes.slice(kept));
}

function welcome() {
  const model = chosen();
  const base = model?.etymon?.base;
  const who = model ? `${model.id} answers${base ? `. It derives from ${base}` : ""}.` : "";
  return element("div", { class: "welcome" }, element("h1", {}, "What would you like to know?"), element("p", {}, who));
}

let waiting = null;
let pause = 0;

/** Show what has come: at most once a frame, and less often where showing it takes long. */
function later(conversation, message) {
  waiting ??= setTimeout(() => {
    waiting = null;
    const node = $("messages").lastChild;
    if (conversation === current && message === current.messages.at(-1) && node) {
      const [follow, began] = [atEnd(), performance.now()];
      redraw(node, message);
      scroll(follow);
      pause = Math.min(3 * (performance.now() - began), 1000);
    }
  }, Math.max(16, pause));
}

function drawSend() {
  const busy = running.has(current.id);
  $("send").textContent = busy ? "Stop" : "Send";
  $("send").classList.toggle("main", !busy);
  $("send").disabled = !busy && (!$("question").value.trim() || !chosen());
}

let counting = null;

/** What went wrong, and what to do about it. */
function drawProblem() {
  clearInterval(counting);
  const found = problems.get("") ?? problems.get(current.id) ?? unanswered();
  if (!found) {
    $("trouble").replaceChildren();
    return;
  }
  const { problem, again: act } = found;
  const box = element("div", { class: "problem" }, element("p", {}, problem.message));
  $("trouble").replaceChildren(box);
  if (problem.status === 401) {
    box.append(button("Give a key", () => newKey(problem)));
  } else if (problem.code === "context_length_exceeded") {
    box.append(button("New conversation", () => choose(blank())));
  } else if (act) {
    const retry = button("Try again", act);
    box.append(retry);
    countDown(retry, found);
  }
}

function countDown(retry, found) {
  found.at ??= Date.now() + found.problem.seconds * 1000;
  const tick = () => {
    const left = Math.ceil((found.at - Date.now()) / 1000);
    retry.disabled = left > 0;
    retry.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left <= 0) {
      clearInterval(counting);
    }
  };
  counting = setInterval(tick, 500);
  tick();
}

function unanswered() {
  const waits = current.messages.at(-1)?.role === "user" && !running.has(current.id);
  const conversation = current;
  return waits && { problem: new Problem("This question has no answer yet."), again: () => again(conversation) };
}

const say = (words) => ($("spoken").textContent = words);

function said(node, words) {
  node.dataset.words ??= node.textContent;
  node.textContent = words;
  say(words);
  setTimeout(() => (node.textContent = node.dataset.words), 1500);
}

const atEnd = () => $("talk").scrollHeight - $("talk").scrollTop - $("talk").clientHeight < 80;

function scroll(follow = false) {
  if (follow) {
    $("talk").scrollTop = $("talk").scrollHeight;
  }
  $("latest").hidden = atEnd();
}

function showSide(shown) {
  $("side").classList.toggle("shown", shown);
  $("shade").hidden = !shown;
  $("open-side").setAttribute("aria-expanded", String(shown));
  if (shown) {
    $("close-side").focus();
  }
}

function grow() {
  const field = $("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  drawSend();
}

function drawTheme() {
  const theme = kept.choice("theme");
  $("theme").value = theme;
  theme ? (document.documentElement.dataset.theme = theme) : delete document.documentElement.dataset.theme;
}

// What the user does ------------------------------------------------------------------------------------------------

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running.has(current.id)) {
    running.get(current.id).abort();
    $("question").focus();
    return;
  }
  const text = $("question").value.trim();
  early = Boolean(text) && !chosen();
  if (text && chosen()) {
    $("question").value = "";
    grow();
    send(text);
  }
});
$("question").addEventListener("input", () => ((early = false), grow()));
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!running.has(current.id)) {
      $("composer").requestSubmit();
    }
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) {
    $("side").classList.contains("shown") ? (showSide(false), $("open-side").focus()) : running.get(current.id)?.abort();
  }
});

$("new").addEventListener("click", () => choose(blank()));
$("model").addEventListener("change", () => {
  kept.choose("model", (current.model = $("model").value));
  keep(current);
  drawOrigin();
});
$("about").addEventListener("click", () => tell(chosen()));
$("rename").addEventListener("click", () => ($("menu").hidePopover(), rename()));
$("delete").addEventListener("click", () => ($("menu").hidePopover(), remove()));
$("export").addEventListener("click", () => ($("menu").hidePopover(), download(fileName(current.title), exported([current]))));
$("export-all").addEventListener("click", () => download("conversations.json", exported([...conversations.values()])));
$("key").addEventListener("click", () => newKey());
$("open-side").addEventListener("click", () => showSide(true));
$("close-side").addEventListener("click", () => (showSide(false), $("open-side").focus()));
$("shade").addEventListener("click", () => showSide(false));
$("latest").addEventListener("click", () => scroll(true));
$("talk").addEventListener("scroll", () => scroll(), { passive: true });
$("theme").addEventListener("change", () => (kept.choose("theme", $("theme").value), drawTheme()));

$("messages").addEventListener("click", async ({ target }) => {
  const language = target.dataset.copies;
  if (language) {
    await copy(markedCode(target.closest(".code").querySelector("code").textContent, language, labelIn(target)));
    said(target, "Copied");
  }
});

// The mark of generated text stays with what leaves the page: by the clipboard, or dragged.
const labelIn = (node) => node.closest(".message").querySelector(".mark").textContent;

function markSelected(event, transfer) {
  const selection = getSelection();
  const answers = [...document.querySelectorAll(".assistant .prose")].filter((node) => selection.containsNode(node, true));
  if (selection.isCollapsed || !answers.length || event.target.closest?.("textarea, input")) {
    return false;
  }
  transfer.clearData();
  transfer.setData("text/plain", marked(selection.toString(), labelIn(answers[0])));
  return true;
}
document.addEventListener("copy", (event) => markSelected(event, event.clipboardData) && event.preventDefault());
document.addEventListener("dragstart", (event) => markSelected(event, event.dataTransfer));

addEventListener("pagehide", () => [...running.keys()].forEach((id) => keep(conversations.get(id))));
addEventListener("storage", (event) => {
  if (!kept.isConversation(event.key)) {
    return;
  }
  const others = kept.conversations(); // as another tab has left them
  [...running.keys()].forEach((id) => conversations.has(id) && others.set(id, conversations.get(id)));
  conversations = others;
  if (others.has(current.id) && !document.querySelector(".editor")) {
    current = others.get(current.id);
    drawAll();
  }
  drawList();
});

for (const each of conversations.values()) {
  for (const message of each.messages) {
    message.end = message.end === "running" ? "lost" : message.end; // the page was left while it came
  }
}
drawTheme();
current = conversations.get(kept.choice("open")) ?? current;
drawList();
drawAll();
grow();
$("talk").scrollTop = $("talk").scrollHeight;
focus();
loadModels();
