// One message: who, when, what; its files, reactions and thread; and the toolbar that shows on hover or focus.

import { h, icon, iconButton, add } from "./dom.js";
import { store, author, displayName, replies } from "./store.js";
import { mrkdwn } from "./mrkdwn.js";
import { markdown } from "./markdown.js";
import { blocks } from "./blocks.js";
import { attachments } from "./attachments.js";
import { emoji } from "./emoji.js";
import { file } from "./files.js";
import { avatar } from "./avatar.js";
import { clock, dateOf, longDay, nearDay } from "./inline.js";
import { menu, toast, told } from "./overlay.js";
import { surface } from "./surface.js";
import { toThread } from "./route.js";
import * as api from "./api.js";

const FACES = 3;
const TOGETHER_MS = 300_000;

const allBlocks = (message) => [
  ...(message.blocks ?? []),
  ...(message.attachments ?? []).flatMap((a) => a.blocks ?? []),
];

// What a person typed is one section of text; Slack's composer shows its *marks* as formatting.
function isTyped(message) {
  const [block, ...more] = message.blocks ?? [];
  return (
    !message.bot_id &&
    Boolean(message.text) &&
    !more.length &&
    block?.type === "rich_text" &&
    block.elements?.length === 1 &&
    block.elements[0].type === "rich_text_section"
  );
}

function body(message, channel) {
  const where = surface(
    message.is_ephemeral ? "ephemeral" : "message",
    { channel, ts: message.ts, thread_ts: message.thread_ts },
    allBlocks(message),
  );
  const streams = message.streaming_state === "in_progress";
  const parts = [];
  if (message.subtype === "tombstone") return [h("div", { class: "tombstone" }, "This message was deleted.")];
  if (message.blocks?.length && !isTyped(message)) parts.push(blocks(message.blocks, where));
  else if (message.text)
    parts.push(message.streaming_state ? markdown(message.text) : h("div", { class: "text" }, mrkdwn(message.text)));
  if (streams) parts.push(h("span", { class: "stream-cursor", role: "img", "aria-label": "Still writing" }));
  if (message.edited)
    add(
      parts.at(-1)?.querySelector?.(".rich-section:last-child, p:last-child") ?? parts.at(-1) ?? h("div"),
      h("span", { class: "edited" }, " (edited)"),
    );
  parts.push(...attachments(message.attachments, where));
  if (message.files?.length)
    parts.push(
      h(
        "div",
        { class: "files" },
        message.files.map((f) => file({ ...f, ...store.files[f.id] })),
      ),
    );
  return parts;
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  return h(
    "div",
    { class: "reactions" },
    message.reactions.map((reaction) => {
      const names = (reaction.users ?? []).map((id) => displayName(store.users[id])).join(", ");
      return h(
        "span",
        {
          class: `reaction${reaction.users?.includes(store.me) ? " mine" : ""}`,
          title: `${names} reacted with :${reaction.name}:`,
        },
        emoji(reaction.name),
        h("span", { class: "count" }, reaction.count),
      );
    }),
  );
}

const plural = (count, noun, nouns) => `${count} ${count === 1 ? noun : nouns}`;

/** "3 replies · Last reply today at 2:01 PM · View thread". */
function threadBar(message, channel) {
  const list = replies(channel, message.ts, false);
  const count = Math.max(list.length, message.reply_count ?? 0);
  if (!count) return null;
  const people = new Map(list.map((m) => author(m)).map((a) => [a.id, a]));
  const latest = dateOf(list.at(-1)?.ts ?? message.latest_reply ?? message.ts);
  const day = nearDay(latest)?.toLowerCase() ?? longDay(latest);
  return h(
    "button",
    { type: "button", class: "thread-bar", on: { click: () => toThread(message.ts) } },
    h(
      "span",
      { class: "faces" },
      [...people.values()].slice(0, FACES).map((who) => avatar(who, "tiny")),
    ),
    h("span", { class: "reply-count" }, plural(count, "reply", "replies")),
    h("span", { class: "last-reply" }, `Last reply ${day} at ${clock(latest)}`),
    h("span", { class: "view-thread" }, "View thread"),
    icon("chevron", "view-thread-mark"),
  );
}

async function copyLink(message) {
  const url = new URL(location.href);
  url.hash = `#/channel/${message.channel ?? ""}/${message.thread_ts ?? message.ts}`;
  await navigator.clipboard?.writeText(url.href).then(
    () => toast("Link copied.", "info"),
    () => toast("The browser did not allow copying."),
  );
}

async function runShortcut(shortcut, channel, ts) {
  told(await api.shortcut({ user: store.me, callback_id: shortcut.callback_id, channel, ts }));
}

function toolbar(message, channel, inThread) {
  if (message.is_ephemeral || message.subtype === "tombstone") return null;
  const shortcuts = (store.app.shortcuts ?? []).filter((s) => s.type === "message" || s.type === "message_action");
  const more = iconButton("more", "More actions", () =>
    menu(
      more,
      [
        ...(inThread
          ? []
          : [{ label: "Reply in thread", hint: "T", onPick: () => toThread(message.thread_ts ?? message.ts) }]),
        { label: "Copy link", onPick: () => copyLink({ ...message, channel }) },
        ...(shortcuts.length ? [{ divider: true }] : []),
        ...shortcuts.map((s) => ({
          label: s.name,
          hint: store.app.name,
          onPick: () => runShortcut(s, channel, message.ts),
        })),
      ],
      { align: "end", label: "Message actions" },
    ),
  );
  more.setAttribute("aria-haspopup", "menu");
  return h(
    "div",
    { class: "toolbar", role: "group", "aria-label": "Message actions" },
    shortcuts.slice(0, 1).map((s) => iconButton("bolt", s.name, () => runShortcut(s, channel, message.ts))),
    inThread ? null : iconButton("thread", "Reply in thread", () => toThread(message.thread_ts ?? message.ts)),
    more,
  );
}

/** May `next` stand under `previous` without its own name? Same author, within five minutes. */
export function continues(previous, next) {
  if (
    !previous ||
    previous.is_ephemeral !== next.is_ephemeral ||
    previous.subtype === "tombstone" ||
    next.subtype === "tombstone"
  )
    return false;
  const same = (previous.user ?? previous.bot_id) === (next.user ?? next.bot_id) && previous.username === next.username;
  return (
    same &&
    dateOf(next.ts) - dateOf(previous.ts) < TOGETHER_MS &&
    !previous.reply_count &&
    dateOf(next.ts).toDateString() === dateOf(previous.ts).toDateString()
  );
}

function head(message, who) {
  const date = dateOf(message.ts);
  const badge = who.isBot
    ? h("span", { class: "badge" }, "APP")
    : who.role === "guest"
      ? h("span", { class: "badge soft" }, "Guest")
      : who.role === "external"
        ? h("span", { class: "badge soft" }, "External")
        : null;
  return h(
    "div",
    { class: "message-head" },
    h("span", { class: "author" }, displayName(who)),
    badge,
    h("time", { class: "time", datetime: date.toISOString(), title: date.toLocaleString("en-US") }, clock(date)),
  );
}

const mentionsMe = (message) =>
  typeof message.text === "string" &&
  (message.text.includes(`<@${store.me}>`) || /<!(here|channel|everyone)/.test(message.text));

function gutter(message, who, date, compact) {
  if (message.subtype === "tombstone")
    return h("span", { class: "avatar tombstone-icon", "aria-hidden": "true" }, icon("trash"));
  return compact
    ? h("time", { class: "gutter-time", datetime: date.toISOString() }, clock(date).replace(/ [AP]M/, ""))
    : avatar(who);
}

/** The row of a message. `compact` leaves out picture and name. */
export function row(message, { channel, compact = false, inThread = false }) {
  const who =
    message.subtype === "tombstone"
      ? { id: "", real_name: "", role: "member", initials: " ", color: "9e9ea6" }
      : author(message);
  const date = dateOf(message.ts);
  const className = [
    "message",
    compact ? "compact" : "",
    message.is_ephemeral ? "ephemeral" : "",
    mentionsMe(message) ? "mentions-me" : "",
  ]
    .filter(Boolean)
    .join(" ");
  return h(
    "div",
    {
      class: className,
      role: "listitem",
      dataset: { ts: message.ts },
      tabindex: "-1",
      "aria-label": `${displayName(who)}, ${clock(date)}`,
    },
    message.is_ephemeral ? h("div", { class: "only-you" }, icon("eye"), "Only visible to you") : null,
    h(
      "div",
      { class: "message-row" },
      h("div", { class: "gutter" }, gutter(message, who, date, compact)),
      h(
        "div",
        { class: "message-body" },
        compact || message.subtype === "tombstone" ? null : head(message, who),
        body(message, channel),
        reactions(message),
        inThread ? null : threadBar(message, channel),
      ),
    ),
    toolbar(message, channel, inThread),
  );
}

/** What, beside the message itself, its row depends on. */
export function signature(message, channel, inThread) {
  const list = inThread ? [] : replies(channel, message.ts, false);
  return [store.version, store.me, list.length, list.at(-1)?.ts, message.files?.map((f) => f.id in store.files)].join(
    "|",
  );
}
