// A list of messages that is kept, row by row, in step with the store: a row is only drawn again when its message changed,
// so that open parts, typed text and focus survive what happens elsewhere.

import { h } from "./dom.js";
import { row, continues, signature } from "./message.js";
import { dateOf, longDay, nearDay } from "./inline.js";
import { compareTs } from "./store.js";

const NEAR_END = 80;

/** Keeps `element` showing messages; `show(messages, options)` brings it up to date and follows the end if it was there. */
export function messageList(label, inThread = false) {
  const element = h("div", { class: "messages", role: "list", "aria-label": label });
  const scroller = h("div", { class: "scroller", tabindex: "0", "aria-label": label }, element);
  const rows = new Map();
  let shown = null;
  scroller.addEventListener("keydown", (event) => onKey(event, element));

  function rowOf(message, channel, compact) {
    const sign = `${compact}|${signature(message, channel, inThread)}`;
    const kept = rows.get(message.ts);
    if (kept && kept.message === message && kept.sign === sign) return kept.node;
    const node = row(message, { channel, compact, inThread });
    if (kept?.node.isConnected) keepPlace(kept.node, node);
    rows.set(message.ts, { message, sign, node });
    return node;
  }

  function show(messages, { channel, key, before = [], divider = null, newSince = null }) {
    const fresh = shown !== key;
    const atEnd = fresh || scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;
    const anchor = atEnd ? null : firstVisible(scroller, element);
    if (fresh) rows.clear();
    const nodes = [...before];
    let previous = null;
    let marked = newSince === null;
    for (const message of messages) {
      const day = dateOf(message.ts).toDateString();
      const newDay = !inThread && (!previous || dateOf(previous.ts).toDateString() !== day);
      if (newDay) nodes.push(dayDivider(message));
      const isNew = !marked && compareTs(message.ts, newSince) > 0;
      if (isNew) nodes.push(h("div", { class: "new-divider", role: "separator" }, h("span", {}, "New")));
      marked ||= isNew;
      nodes.push(
        rowOf(
          message,
          channel,
          !newDay && !isNew && !(inThread && messages.indexOf(previous) === 0) && continues(previous, message),
        ),
      );
      if (divider?.after === message) nodes.push(divider.node);
      previous = message;
    }
    const present = new Set(messages.map((m) => m.ts));
    for (const ts of rows.keys()) if (!present.has(ts)) rows.delete(ts);
    sync(element, nodes);
    shown = key;
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
    else if (anchor) scroller.scrollTop += (rows.get(anchor.ts)?.node.offsetTop ?? anchor.top) - anchor.top;
  }
  return { element: scroller, show };
}

// What the person reads stays where it is, whatever is added or dropped above it.
function firstVisible(scroller, list) {
  const edge = scroller.getBoundingClientRect().top;
  const row = [...list.querySelectorAll(".message")].find((one) => one.getBoundingClientRect().bottom > edge);
  return row && { ts: row.dataset.ts, top: row.offsetTop };
}

function dayDivider(message) {
  const date = dateOf(message.ts);
  return h("div", { class: "day-divider", role: "separator" }, h("span", {}, nearDay(date) ?? longDay(date)));
}

// Moves only what is out of place: taking a node out and putting it back would lose its focus.
function sync(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, at) => {
    if (parent.childNodes[at] !== node) parent.insertBefore(node, parent.childNodes[at] ?? null);
  });
}

/** Puts the focus of a row that is drawn again on the same element of its successor. */
function keepPlace(old, next) {
  const focused = document.activeElement;
  if (!old.contains(focused)) return;
  const selector = focused.dataset?.action ? `[data-action="${CSS.escape(focused.dataset.action)}"]` : null;
  queueMicrotask(() => ((selector && next.querySelector(selector)) || next).focus({ preventScroll: true }));
}

function onKey(event, list) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const here = document.activeElement.closest?.(".message");
  if (event.key === "t" && here === document.activeElement)
    here.querySelector('.toolbar [aria-label="Reply in thread"]')?.click();
  if (!step || document.activeElement.matches("input,textarea,select") || (here && document.activeElement !== here))
    return;
  const all = [...list.querySelectorAll(".message")];
  const to = here ? all[all.indexOf(here) + step] : all.at(-1);
  if (!to) return;
  event.preventDefault();
  to.focus();
  to.scrollIntoView({ block: "nearest" });
}
