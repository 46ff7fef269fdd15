// Start, and the one redraw: every view asks the store for what it shows.

import { store, subscribe, become, changed } from "./store.js";
import { route, read, rememberPerson, personInAddress } from "./route.js";
import { drawTopbar, drawRail, drawSidebar, onSidebarKey } from "./sidebar.js";
import { mountChannel, drawChannel, focusComposer } from "./channel.js";
import { mountThread, drawThread, focusThread } from "./thread.js";
import { drawModals } from "./modal.js";
import { openSwitcher } from "./switcher.js";
import { closeMenu, told } from "./overlay.js";
import * as api from "./api.js";

const part = (id) => document.getElementById(id);
let frame = "";
let homeAsked = "";

function frameNow() {
  return JSON.stringify([store.version, store.connected, store.me, route.view, route.channel, route.tab]);
}

function draw() {
  if (!store.me) return;
  read();
  document.title = `${route.view === "app" ? store.app.name : (store.channels.find((c) => c.id === route.channel)?.name ?? "")} · ${store.team.name ?? ""}`;
  const now = frameNow();
  if (now !== frame) {
    frame = now;
    drawTopbar(part("topbar"), switchPerson);
    drawRail(part("rail"), switchPerson);
  }
  drawChannel();
  drawThread(part("thread"));
  drawSidebar(part("sidebar"));
  drawModals();
  askForHome();
}

/** Opening the app's home is an event that the app hears; once per visit. */
async function askForHome() {
  const visit = route.view === "app" ? `${store.me}:${route.tab}` : "";
  if (visit === homeAsked) return;
  homeAsked = visit;
  if (visit) told(await api.openHome({ user: store.me, tab: route.tab }));
}

async function switchPerson(user) {
  closeMenu(false);
  const answer = await become(user);
  if (!told(answer)) return;
  rememberPerson(store.me);
  homeAsked = "";
  changed();
}

function onMove() {
  const before = { ...route };
  draw();
  if (route.thread && route.thread !== before.thread) focusThread();
  else if (route.view !== before.view || route.channel !== before.channel || (before.thread && !route.thread))
    focusComposer();
}

function onKey(event) {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openSwitcher();
  }
}

async function start() {
  mountChannel(part("primary"));
  mountThread(part("thread"));
  subscribe(draw);
  addEventListener("hashchange", onMove);
  addEventListener("keydown", onKey);
  addEventListener("focus", changed);
  part("sidebar").addEventListener("keydown", onSidebarKey);
  const wanted = personInAddress() ?? (await firstPerson());
  if (told(await become(wanted))) rememberPerson(store.me);
  focusComposer();
}

const firstPerson = async () => (await api.fetchState()).me ?? "";

start();
