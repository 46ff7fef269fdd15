// rich_text: literal text by construction. Nothing in a text element is parsed.

import { h } from "./dom.js";
import { emoji, withEmoji } from "./emoji.js";
import { userMention, channelMention, groupMention, broadcast, link, moment } from "./inline.js";

const STYLE_TAGS = [
  ["code", "code"],
  ["strike", "s"],
  ["underline", "u"],
  ["italic", "em"],
  ["bold", "strong"],
];
const BULLETS = 3;

function withStyle(element, nodes) {
  return STYLE_TAGS.filter(([name]) => element.style?.[name]).reduce((inner, [, tag]) => h(tag, {}, inner), nodes);
}

function words(text) {
  return String(text ?? "")
    .split("\n")
    .flatMap((line, at) => [at ? h("br") : null, withEmoji(line)]);
}

const INLINE = {
  text: (e) => (e.style?.code ? String(e.text ?? "") : words(e.text)),
  link: (e) => link(e.url, e.text ? words(e.text) : e.url),
  user: (e) => userMention(e.user_id),
  usergroup: (e) => groupMention(e.usergroup_id),
  channel: (e) => channelMention(e.channel_id),
  broadcast: (e) => broadcast(e.range),
  emoji: (e) => emoji(e.name),
  date: (e) => moment(e.timestamp, e.format ?? "{date_short_pretty}", e.fallback ?? "", e.url),
  color: (e) => e.value,
};

const inline = (elements) => (elements ?? []).map((e) => withStyle(e, INLINE[e.type]?.(e) ?? e.text ?? ""));

const literal = (elements) =>
  (elements ?? []).map((e) => (e.type === "link" ? link(e.url, e.text ?? e.url) : (e.text ?? inline([e]))));

function list(element) {
  const tag = element.style === "ordered" ? "ol" : "ul";
  const level = Math.min(element.indent ?? 0, 8);
  const className = `rich-list level-${level} mark-${level % BULLETS}`;
  return h(
    tag,
    { class: className, start: tag === "ol" ? (element.offset ?? 0) + 1 : null },
    (element.elements ?? []).map((item) => h("li", {}, inline(item.elements))),
  );
}

const PARTS = {
  rich_text_section: (e) => h("div", { class: "rich-section" }, inline(e.elements)),
  rich_text_list: list,
  rich_text_preformatted: (e) => h("pre", { class: "fence" }, literal(e.elements)),
  rich_text_quote: (e) => h("blockquote", {}, inline(e.elements)),
};

/** The element for a rich_text block. */
export function richText(block) {
  return h(
    "div",
    { class: "rich-text" },
    (block?.elements ?? []).map((part) => PARTS[part.type]?.(part) ?? null),
  );
}
