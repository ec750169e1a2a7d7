// What a model wrote, as elements: headings, lists, quotes, tables, code and emphasis of Markdown.
// Nothing it wrote is ever read as HTML, and nothing is loaded for it: an image is shown as a link.

import { element } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,}) *([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6}) +(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +|$)(.*)$/;
const DEEPEST = 8;

const REACH = "[^]{0,600}?"; // how far an emphasis may go: what is never closed must not cost the square of a text's length
const INLINE = new RegExp(
  [
    `(?<tick>\`+)(?<code>[^\`](?:${REACH}[^\`])?)\\k<tick>(?!\`)`,
    "\\\\(?<escaped>[!-\\/:-@\\[-\`\\{-~])",
    `\\*\\*(?=\\S)(?<strong>${REACH}\\S)\\*\\*(?!\\*)`,
    `\\*(?![\\s*])(?<em>(?:${REACH}[^\\s*])?)\\*(?!\\*)`,
    `(?<![\\p{L}\\p{N}_])_(?![\\s_])(?<under>${REACH}[^\\s_])_(?![\\p{L}\\p{N}_])`,
    `~~(?=\\S)(?<gone>${REACH}\\S)~~`,
    "!?\\[(?<label>[^\\]\\n]{0,500})\\]\\((?<target>[^()\\s]{1,2000}(?:\\([^()\\s]{0,200}\\)[^()\\s]{0,200})?)(?: +\"[^\"\\n]{0,200}\")?\\)",
    "(?<bare>https?:\\/\\/[^\\s<>\"'`]{1,2000})",
  ].join("|"),
  "gu",
);

const shown = new WeakMap();

/** Show a text in an element. As the text grows, blocks that stay the same are left as they are. */
export function show(container, text) {
  const wanted = blocks(text.split("\n"), 0);
  const sources = wanted.map((block) => block.source);
  const before = shown.get(container) ?? [];
  let same = 0;
  while (same < before.length && before[same] === sources[same]) {
    same += 1;
  }
  while (container.childNodes.length > same) {
    container.lastChild.remove();
  }
  container.append(...wanted.slice(same).map((block) => block.make()));
  shown.set(container, sources);
}

function blocks(lines, depth) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [end, make] = block(lines, at, depth);
    found.push({ source: lines.slice(at, end).join("\n"), make });
    at = end;
  }
  return found;
}

const made = (lines, depth) => blocks(lines, depth).map((each) => each.make());

/** The block that begins at a line: where it ends, and how it is made. */
function block(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) {
    return fenced(lines, at, fence);
  }
  const heading = HEADING.exec(line);
  if (heading) {
    const level = Math.min(heading[1].length + 2, 5);
    return [at + 1, () => element(`h${level}`, {}, ...inline(heading[2].trim()))];
  }
  if (RULE.test(line)) {
    return [at + 1, () => element("hr")];
  }
  if (depth < DEEPEST && QUOTE.test(line)) {
    const end = first(lines, at, (each) => !QUOTE.test(each));
    const within = lines.slice(at, end).map((each) => each.replace(QUOTE, ""));
    return [end, () => element("blockquote", {}, ...made(within, depth + 1))];
  }
  if (depth < DEEPEST && ITEM.test(line)) {
    return list(lines, at, depth);
  }
  if (isTable(lines, at)) {
    const end = first(lines, at + 2, (each) => !each.includes("|"));
    return [end, () => table(lines.slice(at, end))];
  }
  const end = first(lines, at + 1, (each, row) => begins(each, depth) || isTable(lines, row));
  return [end, () => element("p", {}, ...inline(lines.slice(at, end).join("\n")))];
}

const begins = (line, depth) =>
  !line.trim() || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || (depth < DEEPEST && (QUOTE.test(line) || ITEM.test(line)));

function first(lines, from, is) {
  let at = from;
  while (at < lines.length && !is(lines[at], at)) {
    at += 1;
  }
  return at;
}

function fenced(lines, at, [, marks, language]) {
  const closes = (line) => line.trim().startsWith(marks) && !line.trim().replaceAll(marks[0], "");
  const end = first(lines, at + 1, closes);
  const code = lines.slice(at + 1, end).join("\n");
  const make = () => {
    const copy = element("button", { type: "button", "data-copies": language || "text" }, "Copy");
    const bar = element("div", {}, element("span", {}, language || "text"), copy);
    return element("div", { class: "code" }, bar, element("pre", { tabindex: "0" }, element("code", {}, code)));
  };
  return [Math.min(end + 1, lines.length), make];
}

function list(lines, at, depth) {
  const [, indent, sign] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(sign);
  const items = [];
  let row = at;
  while (row < lines.length) {
    const match = ITEM.exec(lines[row]);
    if (!match || match[1].length > indent.length + 1 || /\d/.test(match[2]) !== ordered || RULE.test(lines[row])) {
      break;
    }
    const width = match[1].length + match[2].length + 1;
    const end = first(lines, row + 1, (each, place) => !continues(lines, place, Math.min(width, match[1].length + 2)));
    const rest = lines.slice(row + 1, end).map((each) => dedented(each, width));
    items.push([match[4], ...rest]);
    row = first(lines, end, (each) => each.trim());
    if (row > end && !ITEM.test(lines[row] ?? "")) {
      row = end;
      break;
    }
  }
  const make = () => {
    const all = items.map((item) => element("li", {}, ...itemContent(item, depth + 1)));
    return ordered ? element("ol", { start: String(parseInt(sign, 10)) }, ...all) : element("ul", {}, ...all);
  };
  return [row, make];
}

const dedented = (line, width) => line.slice(Math.min(width, line.length - line.trimStart().length));

/** Whether a line belongs to the item above: it is set in, or goes on with its paragraph, or is empty before one that is set in. */
function continues(lines, at, width) {
  const line = lines[at];
  if (!line.trim()) {
    const next = first(lines, at, (each) => each.trim());
    return next < lines.length && lines[next].length - lines[next].trimStart().length >= width;
  }
  const set = line.length - line.trimStart().length;
  return set >= width || (lines[at - 1].trim() !== "" && !begins(line, 0));
}

/** A short item's words stand in the item itself; a paragraph of their own would set the items apart. */
function itemContent(lines, depth) {
  const [head, ...rest] = blocks(lines, depth);
  if (!head) {
    return [];
  }
  const node = head.make();
  return [...(node.tagName === "P" ? node.childNodes : [node]), ...rest.map((each) => each.make())];
}

function isTable(lines, at) {
  const under = lines[at + 1]?.trim() ?? "";
  return lines[at].includes("|") && under.includes("-") && under.includes("|") && /^[|:\- ]+$/.test(under);
}

function table([head, , ...rows]) {
  const line = (row, tag) => element("tr", {}, ...cells(row).map((cell) => element(tag, {}, ...inline(cell))));
  const parts = [element("thead", {}, line(head, "th")), element("tbody", {}, ...rows.map((row) => line(row, "td")))];
  return element("div", { class: "table", tabindex: "0" }, element("table", {}, ...parts));
}

const cells = (row) =>
  row.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function inline(text, depth = 0) {
  const nodes = [];
  let after = 0;
  const plain = (words) => words.split(/ *\n/).forEach((line, row) => nodes.push(...(row ? [element("br"), line] : [line])));
  if (depth >= DEEPEST) {
    return [text];
  }
  for (const match of text.matchAll(INLINE)) {
    plain(text.slice(after, match.index));
    nodes.push(...span(match, depth + 1));
    after = match.index + match[0].length;
  }
  plain(text.slice(after));
  return nodes;
}

function span({ 0: whole, groups }, depth) {
  if (groups.code !== undefined) {
    return [element("code", {}, groups.code.replace(/^ (.*) $/s, "$1"))];
  }
  if (groups.escaped !== undefined) {
    return [groups.escaped];
  }
  for (const [tag, words] of [["strong", groups.strong], ["em", groups.em || groups.under], ["del", groups.gone]]) {
    if (words) {
      return [element(tag, {}, ...inline(words, depth))];
    }
  }
  if (groups.target !== undefined) {
    return link(groups.target, groups.label || groups.target, depth) ?? [whole];
  }
  if (groups.bare !== undefined) {
    const address = groups.bare.replace(/[.,;:!?)\]}*_~]+$/, "");
    return [...(link(address, address, DEEPEST) ?? [address]), groups.bare.slice(address.length)];
  }
  return [whole];
}

/** A link that says where it leads; only to the web and to mail. */
function link(target, words, depth) {
  let address;
  try {
    address = new URL(target);
  } catch {
    return null;
  }
  if (!["http:", "https:", "mailto:"].includes(address.protocol)) {
    return null;
  }
  const attributes = { href: address.href, title: address.href, target: "_blank", rel: "noopener noreferrer nofollow" };
  const made = [element("a", attributes, ...inline(words, depth))];
  if (!words.includes(address.host || address.pathname)) {
    made.push(element("span", { class: "host" }, ` (${address.host || address.pathname})`));
  }
  return made;
}
