// The `markdown` block: standard Markdown, the part that models write. Mentions stay literal, images become their words,
// raw HTML is text. `parse` is pure; `markdown` makes the nodes.

import { h } from "./dom.js";
import { plainText } from "./mrkdwn.js";
import { link } from "./inline.js";

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+-]*)\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ROW = /^\s*\|(.+)\|\s*$/;
const DIVIDER = /^\s*\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?\s*)?$/;
const MAX_DEPTH = 6;

/** Blocks of a Markdown text: heading, fence, quote, list, table, rule, paragraph. */
export function parse(text, depth = 0) {
  const lines = String(text ?? "")
    .replace(/\r\n?/g, "\n")
    .split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    const [block, next] = take(lines, at, depth);
    if (block) blocks.push(block);
    at = next;
  }
  return blocks;
}

function take(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  if (FENCE.test(line)) return fence(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [{ type: "heading", level: heading[1].length, text: heading[2] }, at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (/^ {0,3}>/.test(line) && depth < MAX_DEPTH) return quote(lines, at, depth);
  if (ITEM.test(line) && depth < MAX_DEPTH) return list(lines, at, depth);
  if (ROW.test(line) && DIVIDER.test(lines[at + 1] ?? "")) return table(lines, at);
  return paragraph(lines, at, depth);
}

function fence(lines, at) {
  const [, mark] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !(lines[end].trim().startsWith(mark) && !lines[end].trim().replaceAll(mark[0], "")))
    end += 1;
  return [{ type: "fence", text: lines.slice(at + 1, end).join("\n") }, end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && /^ {0,3}>/.test(lines[end])) end += 1;
  const inside = lines.slice(at, end).map((line) => line.replace(/^ {0,3}> ?/, ""));
  return [{ type: "quote", children: parse(inside.join("\n"), depth + 1) }, end];
}

function list(lines, at, depth) {
  const [, indent, marker] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(marker);
  const items = [];
  let end = at;
  for (; end < lines.length; end += 1) {
    const item = ITEM.exec(lines[end]);
    if (item && item[1].length <= indent.length && /\d/.test(item[2]) === ordered && item[1].length === indent.length)
      items.push([item[3]]);
    else if (lines[end].trim() && /^\s/.test(lines[end]) && lines[end].search(/\S/) > indent.length)
      items.at(-1).push(lines[end]);
    else if (!(lines[end].trim() === "" && continues(lines[end + 1], indent))) break;
  }
  const children = items.map(([first, ...rest]) => parse([first, ...dedent(rest)].join("\n"), depth + 1));
  return [{ type: "list", ordered, start: Number.parseInt(marker, 10) || 1, items: children }, end];
}

const continues = (line, indent) =>
  Boolean(line && ((ITEM.exec(line)?.[1].length ?? -1) === indent.length || line.search(/\S/) > indent.length));

function dedent(lines) {
  const margin = Math.min(...lines.map((line) => line.search(/\S/)).filter((n) => n >= 0));
  return lines.map((line) => line.slice(Number.isFinite(margin) ? margin : 0));
}

const cells = (line) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

function table(lines, at) {
  let end = at + 2;
  while (end < lines.length && ROW.test(lines[end])) end += 1;
  return [{ type: "table", head: cells(lines[at]), rows: lines.slice(at + 2, end).map(cells) }, end];
}

function paragraph(lines, at, depth) {
  let end = at + 1;
  const starts = (line) =>
    FENCE.test(line) ||
    HEADING.test(line) ||
    RULE.test(line) ||
    (depth < MAX_DEPTH && (/^ {0,3}>/.test(line) || ITEM.test(line)));
  while (end < lines.length && lines[end].trim() && !starts(lines[end])) end += 1;
  return [{ type: "paragraph", text: lines.slice(at, end).join("\n") }, end];
}

const INLINE =
  /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|!?\[([^\]\n]*)\]\(([^()\s]*(?:\([^()\s]*\))?[^()\s]*)\)|(https?:\/\/[^\s<>)\]]+[^\s<>)\].,;:!?'"])|(\*\*|__|~~)(?=\S)([\s\S]*?\S)\6|(?<![\w*])\*(?=[^\s*])([^*]*[^\s*])\*(?![\w*])|(?<![\w_])_(?=[^\s_])([^_]*[^\s_])_(?![\w_])|\\([\\`*_{}[\]()#+.!~|>-])/g;

function inline(text, depth = 0) {
  if (depth > MAX_DEPTH) return breaks(text);
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(breaks(text.slice(end, match.index)), piece(match, depth));
    end = match.index + match[0].length;
  }
  return [nodes, breaks(text.slice(end))];
}

function piece([whole, , code, label, address, bare, mark, strong, star, under, escaped], depth) {
  if (code !== undefined) return h("code", {}, code.trim() || code);
  if (label !== undefined)
    return whole.startsWith("!") ? document.createTextNode(label) : link(address, inline(label || address, depth + 1));
  if (bare) return link(bare, bare);
  if (mark === "~~") return h("s", {}, inline(strong, depth + 1));
  if (mark) return h("strong", {}, inline(strong, depth + 1));
  if (escaped) return document.createTextNode(escaped);
  return h("em", {}, inline(star ?? under, depth + 1));
}

function breaks(text) {
  return text.split("\n").map((line, at) => [at ? h("br") : null, plainText(line)]);
}

const RENDER = {
  heading: (block) =>
    h(
      "p",
      { class: `md-heading md-h${block.level}`, role: "heading", "aria-level": block.level + 2 },
      inline(block.text),
    ),
  fence: (block) => h("pre", { class: "fence" }, block.text),
  quote: (block) => h("blockquote", {}, block.children.map(renderBlock)),
  rule: () => h("hr", { class: "divider" }),
  paragraph: (block) => h("p", {}, inline(block.text)),
  list: (block) =>
    h(
      block.ordered ? "ol" : "ul",
      { start: block.ordered ? block.start : null },
      block.items.map((item) => h("li", {}, item.map(renderBlock))),
    ),
  table: (block) =>
    h(
      "div",
      { class: "table-scroll" },
      h(
        "table",
        { class: "block-table" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            block.head.map((cell) => h("th", { scope: "col" }, inline(cell))),
          ),
        ),
        h(
          "tbody",
          {},
          block.rows.map((row) =>
            h(
              "tr",
              {},
              row.map((cell) => h("td", {}, inline(cell))),
            ),
          ),
        ),
      ),
    ),
};

const renderBlock = (block) => RENDER[block.type](block);

/** The element for a Markdown text. */
export const markdown = (text) => h("div", { class: "markdown" }, parse(text).map(renderBlock));
