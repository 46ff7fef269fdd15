// The pieces that Slack's three text formats share: people, channels, groups, links, dates.

import { h, safeUrl } from "./dom.js";
import { store, channelOf, displayName } from "./store.js";
import { toChannel } from "./route.js";

export function userMention(id) {
  const user = store.users[id];
  return h(
    "span",
    { class: `mention${id === store.me ? " me" : ""}`, dataset: { user: id } },
    `@${user ? displayName(user) : id}`,
  );
}

export function groupMention(id) {
  const group = store.usergroups[id];
  const mine = group?.users?.includes(store.me);
  return h("span", { class: `mention${mine ? " me" : ""}` }, `@${group ? group.handle.replace(/^@/, "") : id}`);
}

export const broadcast = (range) => h("span", { class: "mention me" }, `@${range}`);

export function channelMention(id, label) {
  const channel = channelOf(id);
  const name = `#${channel?.name || label || id}`;
  if (!channel) return h("span", { class: "mention" }, name);
  return h(
    "a",
    {
      class: "mention",
      href: `#/channel/${id}`,
      on: {
        click: (event) => {
          event.preventDefault();
          toChannel(id);
        },
      },
    },
    name,
  );
}

/** A link if its address is harmless; its words alone otherwise. */
export function link(address, ...label) {
  const url = safeUrl(address);
  const place = url && permalink(url);
  const words = label.length && label.some((part) => part !== "") ? label : [address];
  if (place) return h("a", { href: place }, words);
  return url ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words) : h("span", {}, words);
}

// A message's permalink is a place on this page.
function permalink(url) {
  const { origin, pathname, searchParams } = new URL(url);
  const [, channel, ts] =
    origin === location.origin ? (/^\/archives\/(\w+)(?:\/p(\d{7,}))?$/.exec(pathname) ?? []) : [];
  if (!channel) return null;
  const thread = searchParams.get("thread_ts") ?? (ts && `${ts.slice(0, -6)}.${ts.slice(-6)}`);
  return `#/channel/${channel}${thread ? `/${thread}` : ""}`;
}

const day = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
const format = (date, options) => date.toLocaleString("en-US", options);
const ordinal = (n) =>
  `${n}${n % 10 === 1 && n !== 11 ? "st" : n % 10 === 2 && n !== 12 ? "nd" : n % 10 === 3 && n !== 13 ? "rd" : "th"}`;

/** "Today", "Yesterday" or null. */
export function nearDay(date, now = new Date()) {
  const days = Math.round((day(now) - day(date)) / 86_400_000);
  return days === 0 ? "Today" : days === 1 ? "Yesterday" : null;
}

export const dateOf = (ts) => new Date(Number.parseFloat(ts) * 1000);
export const clock = (date) => format(date, { hour: "numeric", minute: "2-digit" });
export const longDay = (date) =>
  `${format(date, { weekday: "long" })}, ${format(date, { month: "long" })} ${ordinal(date.getDate())}`;

const DATE_PARTS = {
  date_num: (d) =>
    `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`,
  date: (d) => `${format(d, { month: "long" })} ${ordinal(d.getDate())}, ${d.getFullYear()}`,
  date_short: (d) => format(d, { month: "short", day: "numeric", year: "numeric" }),
  date_long: (d) => `${longDay(d)}, ${d.getFullYear()}`,
  time: clock,
  time_secs: (d) => format(d, { hour: "numeric", minute: "2-digit", second: "2-digit" }),
  ago: (d) => ago(d),
  day_divider_pretty: (d) => nearDay(d) ?? longDay(d),
};

function ago(date, now = Date.now()) {
  const seconds = Math.round((date.getTime() - now) / 1000);
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ])
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  return relative.format(seconds, "second");
}

/** `<!date^…>`: the moment in the reader's own time zone; the fallback where a token or the number is not understood. */
export function moment(timestamp, pattern, fallback, address) {
  const date = new Date(Number(timestamp) * 1000);
  const known = [...pattern.matchAll(/\{(\w+)\}/g)].every(
    ([, name]) => DATE_PARTS[name.replace(/_pretty$/, "")] ?? DATE_PARTS[name],
  );
  if (!known || Number.isNaN(date.getTime())) return document.createTextNode(fallback ?? "");
  const words = pattern.replace(/\{(\w+)\}/g, (_, name) => datePart(date, name));
  const time = h("time", { datetime: date.toISOString(), title: date.toString() }, words);
  return address ? link(address, time) : time;
}

function datePart(date, name) {
  if (name in DATE_PARTS) return DATE_PARTS[name](date);
  const near = nearDay(date);
  return near ? near.toLowerCase() : DATE_PARTS[name.replace(/_pretty$/, "")](date);
}
