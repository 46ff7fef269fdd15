// The frame: the bar on top, the rail, the list of channels and apps.

import { h, fill, icon, iconButton } from "./dom.js";
import { store, unread, directChannel, joined } from "./store.js";
import { route, toChannel, toApp } from "./route.js";
import { personButton } from "./people.js";
import { avatar } from "./avatar.js";
import { openSwitcher } from "./switcher.js";

const byName = (a, b) => a.name.localeCompare(b.name);
const initial = () => ([...(store.team.name ?? "?")][0] ?? "?").toUpperCase();

export function drawTopbar(element, onPerson) {
  fill(
    element,
    h(
      "div",
      { class: "history" },
      iconButton("back", "Back", () => history.back()),
      iconButton("forward", "Forward", () => history.forward()),
    ),
    h(
      "button",
      { type: "button", class: "search", on: { click: openSwitcher } },
      icon("search"),
      h("span", {}, `Search ${store.team.name ?? ""}`),
      h("kbd", {}, "Ctrl K"),
    ),
    h(
      "div",
      { class: "topbar-end" },
      store.connected ? null : h("span", { class: "offline", role: "status" }, "Reconnecting…"),
      personButton(onPerson, "top"),
    ),
  );
}

export function drawRail(element, onPerson) {
  const place = (name, label, active, onClick) =>
    h(
      "button",
      {
        type: "button",
        class: `rail-item${active ? " active" : ""}`,
        "aria-current": active ? "page" : null,
        on: { click: onClick },
      },
      h("span", { class: "rail-icon" }, icon(name)),
      h("span", {}, label),
    );
  const [home] = joined();
  fill(
    element,
    h("div", { class: "team-icon", "aria-hidden": "true" }, initial()),
    place(
      "home",
      "Home",
      route.view === "channel",
      () => home && toChannel(route.view === "channel" ? route.channel : home.id),
    ),
    place("robot", store.app.name ?? "App", route.view === "app" && route.tab === "home", () => toApp("home")),
    place("chat", "DMs", route.view === "app" && route.tab === "messages", () => toApp("messages")),
    h("span", { class: "spacer" }),
    personButton(onPerson, "rail"),
  );
}

function channelItem(channel) {
  const active = route.view === "channel" && route.channel === channel.id;
  const count = active ? 0 : unread(channel.id);
  return h(
    "a",
    {
      class: ["side-item", active ? "active" : "", count ? "unread" : "", channel.is_archived ? "archived" : ""]
        .filter(Boolean)
        .join(" "),
      href: `#/channel/${channel.id}`,
      dataset: { channel: channel.id },
      "aria-current": active ? "page" : null,
    },
    icon(channel.is_archived ? "archive" : channel.is_private ? "lock" : "hash"),
    h("span", { class: "side-name" }, channel.name),
    count ? h("span", { class: "unread-count", "aria-label": `${count} unread` }, count > 99 ? "99+" : count) : null,
  );
}

function appItem() {
  const direct = directChannel();
  const active = route.view === "app";
  const count = direct && !active ? unread(direct.id) : 0;
  const user = store.users[store.app.user_id] ?? { id: "app", name: store.app.name, role: "bot" };
  return h(
    "a",
    {
      class: `side-item app${active ? " active" : ""}${count ? " unread" : ""}`,
      href: "#/app/home",
      "aria-current": active ? "page" : null,
    },
    avatar({ ...user, role: "bot" }, "tiny"),
    h("span", { class: "side-name" }, store.app.name ?? "App"),
    count ? h("span", { class: "unread-count" }, count) : null,
  );
}

const section = (title, items) => h("section", { class: "side-section" }, h("h2", {}, icon("caret"), title), items);

export function drawSidebar(element) {
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const channels = joined();
  fill(
    element,
    h("div", { class: "team-name" }, h("span", {}, store.team.name ?? "")),
    h(
      "div",
      { class: "side-scroll" },
      section(
        "Channels",
        channels
          .filter((c) => !c.is_archived)
          .sort(byName)
          .map(channelItem),
      ),
      channels.some((c) => c.is_archived)
        ? section(
            "Archived",
            channels
              .filter((c) => c.is_archived)
              .sort(byName)
              .map(channelItem),
          )
        : null,
      section("Apps", appItem()),
    ),
  );
  if (focused) element.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

/** Arrow keys walk the list. */
export function onSidebarKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const items = [...event.currentTarget.querySelectorAll(".side-item")];
  const at = items.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  items[(at + step + items.length) % items.length].focus();
}
