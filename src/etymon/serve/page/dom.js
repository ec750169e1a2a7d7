// Elements, and what leaves the page through the clipboard.

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...content);
  return made;
}

export function button(words, act, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", act);
  return made;
}

/** Put a text on the clipboard; browsers offer the newer way only to pages from this machine or by HTTPS. */
export async function copy(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text);
  }
  const before = document.activeElement;
  const field = element("textarea", { class: "unseen", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  before?.focus();
}

/** A text with the label of generated content at its end, unless it has it already. */
export function marked(text, label) {
  const plain = text.trim();
  return plain.startsWith(label) || plain.endsWith(label) ? text : `${text.trimEnd()}\n\n${label}`;
}

/** A text as the model wrote it: without the label that the service may have put before or after it. */
export function unmarked(text, label) {
  const [before, after] = [`${label}\n\n`, `\n\n${label}`];
  const begun = text.startsWith(before) ? text.slice(before.length) : text;
  return begun.endsWith(after) ? begun.slice(0, -after.length) : begun;
}

const HASH = /^(py|python|sh|bash|shell|zsh|ya?ml|toml|ruby|rb|r|perl|make|makefile|dockerfile|ini)$/i;
const SLASHES = /^(js|javascript|ts|typescript|jsx|tsx|c|cc|cpp|c\+\+|h|cs|c#|java|kotlin|go|rust|rs|swift|php|scala|dart)$/i;
const DASHES = /^(sql|lua|haskell|hs)$/i;
const TAGS = /^(html|xml|svg|markdown|md)$/i;

/** Code with the label as a comment of its language. */
export function markedCode(code, language, label) {
  if (TAGS.test(language)) {
    return marked(code, `<!-- ${label} -->`);
  }
  const sign = HASH.test(language) ? "# " : SLASHES.test(language) ? "// " : DASHES.test(language) ? "-- " : "";
  return marked(code, sign + label);
}

export function download(name, content) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
