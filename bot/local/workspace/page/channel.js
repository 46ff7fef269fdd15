// The middle of the page: a channel with its messages and composer, or the app with its home and direct messages.

import { h, fill, icon } from "./dom.js";
import { store, changed, channelOf, roots, me, lastRead, markRead, unread, directChannel } from "./store.js";
import { route, toApp } from "./route.js";
import { messageList } from "./messages.js";
import { composer, placeholderFor } from "./composer.js";
import { avatar } from "./avatar.js";
import { mrkdwn } from "./mrkdwn.js";
import { blocks } from "./blocks.js";
import { surface } from "./surface.js";

const PAGE = 100; // messages that are drawn at first, and with each wish for more

const list = messageList("Messages");
const writer = composer("Message");
const header = h("header", { class: "view-header" });
const notice = h("div", { class: "notice", role: "note", hidden: true });
const home = h("div", { class: "home scroller", tabindex: "0", "aria-label": "App home" });
const foot = h("div", { class: "view-foot" }, notice, writer.element);

let place = "";
let since = null;
let room = PAGE;
let homeDrawn = null;

export function mountChannel(element) {
  fill(element, header, list.element, home, foot);
}

/** The focus goes to the composer, as in Slack, when a place is opened. */
export function focusComposer() {
  if (!foot.hidden && !notice.textContent) writer.focus();
}

function channelHeader(channel) {
  const people = Object.values(store.users).filter((u) => u.role !== "bot" && u.role !== "deactivated");
  return [
    h(
      "div",
      { class: "view-title" },
      h("h1", {}, icon(channel.is_archived ? "archive" : channel.is_private ? "lock" : "hash"), channel.name),
      channel.topic ? h("div", { class: "topic", title: channel.topic }, mrkdwn(channel.topic)) : null,
    ),
    h(
      "div",
      { class: "members", title: `${people.length} people` },
      people.slice(0, 3).map((u) => avatar(u, "tiny")),
      h("span", {}, people.length),
    ),
  ];
}

function appHeader() {
  const tab = (name, label) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        class: "tab",
        "aria-selected": String(route.tab === name),
        on: { click: () => toApp(name) },
      },
      label,
    );
  const user = store.users[store.app.user_id] ?? { id: "app", name: store.app.name };
  return [
    h(
      "div",
      { class: "view-title app" },
      h("h1", {}, avatar({ ...user, role: "bot" }, "small"), store.app.name ?? "App"),
    ),
    h("div", { class: "tabs", role: "tablist", "aria-label": "App" }, tab("home", "Home"), tab("messages", "Messages")),
  ];
}

function intro(channel) {
  if (!channel)
    return [
      h(
        "div",
        { class: "intro" },
        h("h2", {}, store.app.name ?? "App"),
        h("p", {}, "This is the very beginning of your direct messages with this app."),
      ),
    ];
  return [
    h(
      "div",
      { class: "intro" },
      h("h2", {}, icon("hash"), channel.name),
      h("p", {}, `This is the very beginning of the #${channel.name} channel.`),
    ),
  ];
}

function drawHome() {
  if (homeDrawn === store.home && home.firstChild) return;
  homeDrawn = store.home;
  const view = store.home;
  fill(
    home,
    view?.blocks?.length
      ? h("div", { class: "home-body" }, blocks(view.blocks, surface("home", { view_id: view.id }, view.blocks)))
      : h(
          "div",
          { class: "intro empty" },
          h("h2", {}, `${store.app.name ?? "The app"} has no home yet`),
          h("p", {}, "It appears here as soon as the app publishes it."),
        ),
  );
}

function noticeFor(channel) {
  if (me().role === "deactivated") return "This account is deactivated. It can look, but it cannot write.";
  if (channel?.is_archived) return `You are viewing #${channel.name}, an archived channel.`;
  if (channel && channel.is_member === false) return `You are looking at #${channel.name} without being in it.`;
  return "";
}

function earlier() {
  const onClick = () => {
    room += PAGE;
    changed();
  };
  const button = h("button", { type: "button", class: "button", on: { click: onClick } }, "Show earlier messages");
  return [h("div", { class: "earlier" }, button)];
}

export function drawChannel() {
  const atHome = route.view === "app" && route.tab === "home";
  const channel = route.view === "app" ? directChannel() : channelOf(route.channel);
  const id = route.channel;
  const words = noticeFor(channel?.is_im ? null : channel);
  fill(header, route.view === "app" ? appHeader() : channel ? channelHeader(channel) : null);
  header.classList.toggle("with-tabs", route.view === "app");
  list.element.hidden = foot.hidden = atHome;
  home.hidden = !atHome;
  if (atHome) return drawHome();
  if (place !== `${store.me}:${id}`) {
    place = `${store.me}:${id}`;
    since = unread(id) ? lastRead(id) : null;
    room = PAGE;
  }
  const all = roots(id);
  const before = all.length > room ? earlier() : intro(channel?.is_im ? null : channel);
  list.show(all.slice(-room), { channel: id, key: place, before, newSince: since });
  if (document.hasFocus()) markRead(id);
  notice.textContent = words;
  notice.hidden = !words;
  writer.element.hidden = Boolean(words);
  return writer.show({ channel: id, placeholder: placeholderFor(id) });
}
