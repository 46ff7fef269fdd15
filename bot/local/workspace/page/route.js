// Where the person is: a channel, perhaps a thread in it, or the app's home. Kept in the address, so that back, forward and a
// second window work; the person is in the query, so that two windows can be two people.

import { store, channelOf, isOpenTo, joined, directChannel } from "./store.js";

export const route = { view: "channel", channel: null, thread: null, tab: "home" };

export function read() {
  const [kind, first, second] = location.hash.replace(/^#\/?/, "").split("/");
  const fallback = joined().find((c) => !c.is_archived) ?? joined()[0];
  if (kind === "app")
    Object.assign(route, { view: "app", tab: first === "messages" ? "messages" : "home", thread: second || null });
  else
    Object.assign(route, {
      view: "channel",
      ...(isOpenTo(channelOf(first))
        ? { channel: first, thread: second || null }
        : { channel: fallback?.id ?? null, thread: null }),
    });
  if (route.view === "app") route.channel = directChannel()?.id ?? null;
}

export const toChannel = (id) => go(`#/channel/${id}`);
export const toThread = (ts) => go(route.view === "app" ? `#/app/messages/${ts}` : `#/channel/${route.channel}/${ts}`);
export const closeThread = () => go(route.view === "app" ? "#/app/messages" : `#/channel/${route.channel}`);
export const toApp = (tab = "home") => go(`#/app/${tab}`);

function go(hash) {
  if (location.hash !== hash) location.hash = hash;
}

export const personInAddress = () => new URLSearchParams(location.search).get("user");

export function rememberPerson(user) {
  const url = new URL(location.href);
  url.searchParams.set("user", user);
  history.replaceState(null, "", url);
}
