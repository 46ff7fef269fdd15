// Slack's mrkdwn. `parse` is pure: text in, a tree of plain objects out; `render` turns the tree into nodes.
// Grammar: fences, quotes, then inline code, angle-bracket tokens, emoji, and *bold* _italic_ ~strike~ at word edges.

import { h } from "./dom.js";
import { emoji, withEmoji } from "./emoji.js";
import { userMention, channelMention, groupMention, broadcast, link, moment } from "./inline.js";

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };
const STYLES = { "*": "bold", _: "italic", "~": "strike" };
const MAX_DEPTH = 8;

const decode = (text) => text.replace(/&(amp|lt|gt);/g, (entity) => ENTITIES[entity]);

/** The tree: {type, …} with `children` where something nests. */
export function parse(text) {
  const pieces = String(text ?? "").split(/```/);
  const nodes = [];
  for (let at = 0; at < pieces.length; at += 1) {
    const fenced = at % 2 === 1 && at < pieces.length - 1;
    const open = at % 2 === 1 && !fenced;
    if (fenced && pieces[at].trim()) nodes.push(fence(pieces[at]));
    else
      nodes.push(
        ...lines((open ? "```" : "") + (fenced ? `\`\`\`${pieces[at]}\`\`\`` : trimmed(pieces[at], at, pieces.length))),
      );
  }
  return nodes;
}

// Slack keeps the addresses that it found in a fence in angle brackets and shows them bare.
function fence(piece) {
  const text = piece.replace(/^\n/, "").replace(/\n$/, "");
  return { type: "fence", text: decode(text.replace(/<((?:https?|mailto):[^<>|\n]+)(?:\|[^<>\n]*)?>/g, "$1")) };
}

// A fence is a block: the line break beside it is its edge, not an empty line.
function trimmed(piece, at, count) {
  const start = at > 0 ? piece.replace(/^\n/, "") : piece;
  return at < count - 1 ? start.replace(/\n$/, "") : start;
}

function lines(text) {
  if (!text) return [];
  const nodes = [];
  let quoted = null;
  for (const line of text.split("\n")) {
    const match = /^(?:&gt;|>)(?!&gt;&gt;|>>) ?(.*)$/.exec(line);
    if (match) {
      if (quoted) quoted.push({ type: "break" }, ...inline(match[1]));
      else nodes.push({ type: "quote", children: (quoted = inline(match[1])) });
      continue;
    }
    if (nodes.length && !quoted) nodes.push({ type: "break" });
    nodes.push(...inline(line));
    quoted = null;
  }
  return nodes;
}

const TOKEN = /`([^`\n]+)`|<([^<>\n]+)>|:([a-z0-9_+'-]+):|(?<![\w/])(https?:\/\/[^\s<>|`]*[^\s<>|`.,;:!?'")\]*_~])/g;

function inline(text, depth = 0) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const node = token(match);
    if (!node) continue;
    parts.push(text.slice(end, match.index), node);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return styled(parts, depth);
}

function token([, code, angle, name, address]) {
  if (address !== undefined) return { type: "link", url: decode(address), label: "" };
  if (code !== undefined) return { type: "code", text: decode(code) };
  return angle === undefined ? { type: "emoji", name } : angled(angle);
}

function angled(body) {
  const bar = body.indexOf("|");
  const target = bar < 0 ? body : body.slice(0, bar);
  const label = bar < 0 ? "" : body.slice(bar + 1);
  if (/^@[A-Z0-9]+$/.test(target)) return { type: "user", id: target.slice(1) };
  if (/^#[A-Z0-9]+$/.test(target)) return { type: "channel", id: target.slice(1), label: decode(label) };
  if (target.startsWith("!subteam^")) return { type: "group", id: target.slice(9) };
  if (/^!(here|channel|everyone)$/.test(target)) return { type: "broadcast", range: target.slice(1) };
  if (target.startsWith("!date^")) {
    const [, timestamp, pattern = "", address] = target.split("^");
    return { type: "date", timestamp, pattern: decode(pattern), address, fallback: decode(label) };
  }
  if (/^(https?|mailto|tel):/i.test(target)) return { type: "link", url: decode(target), label };
  return null;
}

// Styles are found over text and tokens together, so that *a `b` c* is bold from a to c.
function styled(parts, depth) {
  const flat = parts.flatMap((part) => (typeof part === "string" ? [...part] : [part]));
  const nodes = [];
  let run = "";
  const barren = new Set(); // marks that nothing further on can close: what ends a style does not depend on where it began
  const flush = () => {
    if (run) nodes.push({ type: "text", text: decode(run) });
    run = "";
  };
  for (let at = 0; at < flat.length; at += 1) {
    const close = depth < MAX_DEPTH && STYLES[flat[at]] ? closing(flat, at, barren) : -1;
    if (close > 0) {
      flush();
      const inside = flat.slice(at + 1, close);
      nodes.push({ type: STYLES[flat[at]], children: styled(inside, depth + 1) });
      at = close;
    } else if (typeof flat[at] === "string") run += flat[at];
    else {
      flush();
      nodes.push(flat[at]);
    }
  }
  flush();
  return nodes;
}

const isWord = (piece) => typeof piece === "string" && /[\p{L}\p{N}]/u.test(piece);
const isSpace = (piece) => piece === undefined || (typeof piece === "string" && /\s/.test(piece));

function closing(flat, at, barren) {
  const mark = flat[at];
  const before = flat[at - 1];
  if (barren.has(mark) || isWord(before) || before === mark || isSpace(flat[at + 1]) || flat[at + 1] === mark)
    return -1;
  for (let end = at + 2; end < flat.length; end += 1) {
    if (flat[end] === mark && !isSpace(flat[end - 1]) && !isWord(flat[end + 1]) && flat[end + 1] !== mark) return end;
  }
  barren.add(mark);
  return -1;
}

const RENDER = {
  text: (node) => withEmoji(node.text),
  break: () => h("br"),
  fence: (node) => h("pre", { class: "fence" }, node.text),
  quote: (node) => h("blockquote", {}, render(node.children)),
  code: (node) => h("code", {}, node.text),
  bold: (node) => h("strong", {}, render(node.children)),
  italic: (node) => h("em", {}, render(node.children)),
  strike: (node) => h("s", {}, render(node.children)),
  user: (node) => userMention(node.id),
  channel: (node) => channelMention(node.id, node.label),
  group: (node) => groupMention(node.id),
  broadcast: (node) => broadcast(node.range),
  link: (node) => link(node.url, withEmoji(node.label ? decode(node.label) : node.url)),
  date: (node) => moment(node.timestamp, node.pattern, node.fallback, node.address),
  emoji: (node) => emoji(node.name),
};

const render = (nodes) => nodes.map((node) => RENDER[node.type](node));

/** Nodes for a mrkdwn string. */
export const mrkdwn = (text) => render(parse(text));

/** Nodes for a Block Kit text object. In plain_text only emoji names and characters are drawn. */
export function textObject(object) {
  if (!object) return [];
  if (object.type === "mrkdwn") return mrkdwn(object.text);
  return plainText(object.text, object.emoji !== false);
}

export function plainText(text, withNames = true) {
  const value = decode(String(text ?? ""));
  if (!withNames) return withEmoji(value);
  return value
    .split(/:([a-z][a-z0-9_+-]*|\+1|-1):/)
    .flatMap((piece, at) => (at % 2 ? [emoji(piece)] : withEmoji(piece)));
}
