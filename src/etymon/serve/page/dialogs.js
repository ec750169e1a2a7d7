// Questions to the user, each answered by a promise: a value, or null where it was dismissed.

import { $, element } from "./dom.js";
import { show } from "./markdown.js";
import * as kept from "./kept.js";

const closing = (dialog) => new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));

function open(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return closing(dialog);
}

/** Ask for a name, where ``value`` is given, or for a yes. */
export async function ask(title, said, act, value = null) {
  $("ask-title").textContent = title;
  $("ask-said").textContent = said;
  $("ask-do").textContent = act;
  $("ask-name").hidden = value === null;
  $("ask-value").value = value ?? "";
  const answer = open($("ask"));
  if (value !== null) {
    $("ask-value").select();
  }
  return (await answer) === "do" ? $("ask-value").value.trim() || true : null;
}

/** Ask for the key and keep it; true where there is another one now, or none any more. */
export async function askKey(said) {
  $("key-said").textContent = said;
  $("secret").value = "";
  $("remember").checked = kept.remembered();
  $("forget").hidden = !kept.key();
  const answer = await open($("ask-key"));
  const secret = $("secret").value.trim();
  $("secret").value = "";
  if (answer === "forget") {
    kept.keepKey("", false);
  } else if (answer === "use" && secret) {
    kept.keepKey(secret, $("remember").checked);
  } else {
    return false;
  }
  return true;
}

/** What is known of a model. ``readCard`` gives the text of its model card, where the service has one. */
export async function tellModel(model, readCard) {
  $("about-name").textContent = model.id;
  const known = model.etymon ?? {};
  const facts = [
    ["Base", known.base || "not known"],
    ["Digest", known.digest ? element("code", {}, `sha256:${known.digest}`) : "not known: its files are at another engine"],
    ["Context", known.context ? `${known.context.toLocaleString("en")} tokens` : "not known"],
  ];
  if (known.permitted_uses?.length) {
    facts.push(["Permitted uses", known.permitted_uses.join("; ")]);
  }
  if (!known.evidence) {
    facts.push(["Evidence", "The service has no model card that was recorded for these weights."]);
  }
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  show($("card"), "");
  const closed = open($("about-model"));
  if (known.evidence) {
    const text = await readCard(known.evidence).catch((problem) => `The model card cannot be read: ${problem.message}`);
    show($("card"), text.replace(/^---\n[^]*?\n---\n/, ""));
  }
  await closed;
}

for (const [button, dialog, value] of [["ask-cancel", "ask", ""], ["key-cancel", "ask-key", ""], ["forget", "ask-key", "forget"]]) {
  $(button).addEventListener("click", () => $(dialog).close(value));
}
