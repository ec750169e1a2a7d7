// One message as an element.

import { button, copy, element, marked } from "./dom.js";
import { show } from "./markdown.js";

const ENDS = {
  length: "The answer reached the longest that this model can give here.",
  content_filter: "The service's policy ended this answer.",
  stopped: "You stopped this answer.",
  lost: "This answer is not complete.",
};

/** ``acts``: ``edit`` and ``again`` where they are possible, ``tell`` about a model, ``said`` to the user. */
export function draw(message, acts) {
  return message.role === "user" ? question(message, acts) : answer(message, acts);
}

/** The text of an answer as far as it has come. */
export function redraw(node, message) {
  show(node.querySelector(".text"), message.content);
  node.querySelector("details").hidden = !message.thought;
  show(node.querySelector(".thought"), message.thought ?? "");
}

function question(message, acts) {
  const text = element("div", { class: "text", dir: "auto" }, message.content);
  const below = element("div", { class: "below" }, copier(() => message.content, acts));
  if (acts.edit) {
    below.append(button("Edit", acts.edit));
  }
  return element("article", { class: "message user", "aria-label": "You" }, text, below);
}

function answer(message, acts) {
  const { model } = message;
  const node = element("article", { class: "message assistant", "aria-label": `Answer of ${model.id}` });
  const below = element("div", { class: "below" });
  const thought = element("div", { class: "thought prose", dir: "auto" });
  node.append(element("details", {}, element("summary", {}, "What it thought before"), thought));
  node.append(element("div", { class: "text prose", dir: "auto" }), below);
  redraw(node, message);
  if (message.end === "running") {
    node.classList.add("answering");
    node.setAttribute("aria-busy", "true");
  }
  if (ENDS[message.end]) {
    below.append(element("span", { class: "note" }, ENDS[message.end]));
  }
  below.append(element("span", { class: "mark" }, message.label), button(model.id, () => acts.tell(model), { title: "About this model" }));
  if (message.content && message.end !== "running") {
    below.append(copier(() => marked(message.content, message.label), acts));
  }
  if (acts.again) {
    below.append(button("Regenerate", acts.again));
  }
  return node;
}

function copier(text, acts) {
  return button("Copy", async (event) => {
    await copy(text());
    acts.said(event.currentTarget ?? event.target, "Copied");
  });
}

/** A question to be written anew, in its own place; ``done`` is told the new text, or null. */
export function editor(message, done) {
  const field = element("textarea", { rows: String(Math.min(12, message.content.split("\n").length + 1)), dir: "auto", "aria-label": "Your question" });
  field.value = message.content;
  const send = () => done(field.value.trim() || null);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      done(null);
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  });
  const buttons = element("div", { class: "buttons" }, button("Cancel", () => done(null)), button("Send", send, { class: "main" }));
  return [element("div", { class: "editor" }, field, buttons), field];
}
