// The pane on the right: one thread.

import { h, fill, iconButton } from "./dom.js";
import { store, channelOf, parent, replies, me } from "./store.js";
import { route, closeThread } from "./route.js";
import { messageList } from "./messages.js";
import { composer, statusLine } from "./composer.js";

const list = messageList("Thread", true);
const writer = composer("Reply…");
const status = statusLine();
const header = h("header", { class: "view-header thread-header" });
const foot = h("div", { class: "view-foot" }, writer.element, status.element);
let divider = null;

export function mountThread(element) {
  fill(element, header, list.element, foot);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) closeThread();
  });
}

export const focusThread = () => {
  if (!writer.element.hidden) writer.focus();
};

function replyDivider(count) {
  const words = count ? `${count} ${count === 1 ? "reply" : "replies"}` : "";
  if (divider?.words !== words)
    divider = { words, node: h("div", { class: "reply-divider", role: "separator" }, h("span", {}, words)) };
  return divider.node;
}

export function drawThread(element) {
  const { channel, thread } = route;
  const open = Boolean(thread) && !(route.view === "app" && route.tab === "home");
  element.hidden = !open;
  document.body.classList.toggle("thread-open", open);
  if (!open) return;
  const known = channelOf(channel);
  const root = parent(channel, thread);
  const answers = replies(channel, thread);
  fill(
    header,
    h(
      "div",
      { class: "view-title" },
      h("h1", {}, "Thread"),
      h("div", { class: "topic" }, known && !known.is_im ? `# ${known.name}` : (store.app.name ?? "")),
    ),
    iconButton("close", "Close thread", closeThread),
  );
  list.show([root, ...answers], {
    channel,
    key: `${store.me}:${channel}:${thread}`,
    divider: { after: root, node: replyDivider(replies(channel, thread, false).length) },
  });
  writer.element.hidden = Boolean(known?.is_archived) || me().role === "deactivated" || known?.is_member === false;
  writer.show({ channel, thread, placeholder: "Reply…" });
  status.show(store.statuses[`${channel}:${thread}`] ?? null);
}
