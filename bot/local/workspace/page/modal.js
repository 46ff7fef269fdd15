// Dialogs that the app opened: one stack per person, kept in step with the store's views.

import { h, fill } from "./dom.js";
import { store, changed } from "./store.js";
import { blocks } from "./blocks.js";
import { textObject } from "./mrkdwn.js";
import { dialog, focusFirst, toast } from "./overlay.js";
import { surface, forget, valuesOf } from "./surface.js";
import { avatar } from "./avatar.js";
import * as api from "./api.js";

const shown = new Map();

/** Opens, redraws and closes dialogs so that they are the store's views. */
export function drawModals() {
  const views = store.views.filter((view) => (view.type ?? "modal") === "modal");
  for (const [id, one] of shown) if (!views.some((view) => view.id === id)) remove(id, one);
  for (const view of views) {
    const one = shown.get(view.id) ?? create(view);
    if (one.view !== view) {
      one.errors = {};
      draw(one, view);
    }
  }
}

function remove(id, one) {
  one.box.close();
  shown.delete(id);
  forget(id);
}

function create(view) {
  const one = {
    view: null,
    errors: {},
    busy: false,
    form: h("form", { class: "view-form", novalidate: true }),
    foot: h("div", { class: "foot" }),
  };
  const user = store.users[store.app.user_id] ?? { id: "app" };
  one.box = dialog({
    title: textObject(view.title),
    body: one.form,
    footer: one.foot,
    className: "modal",
    host: "modals",
    onCancel: () => cancel(one),
    icon: avatar({ ...user, role: "bot" }, "small"),
  });
  one.form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(one);
  });
  shown.set(view.id, one);
  return one;
}

function draw(one, view) {
  const first = one.view === null;
  const had = one.form.contains(document.activeElement)
    ? document.activeElement.id || document.activeElement.dataset.action
    : null;
  one.view = view;
  const where = surface("view", { view_id: view.id }, view.blocks);
  fill(one.box.element.querySelector("h1"), textObject(view.title));
  fill(
    one.form,
    blocks(view.blocks, where, one.errors),
    h("button", { type: "submit", hidden: true, tabindex: "-1", "aria-hidden": "true" }),
  );
  fill(
    one.foot,
    h(
      "button",
      { type: "button", class: "button", on: { click: () => cancel(one) } },
      view.close ? textObject(view.close) : "Cancel",
    ),
    view.submit ? submitButton(one, view) : null,
  );
  const again =
    had &&
    (one.form.querySelector(`[id="${CSS.escape(had)}"]`) ??
      one.form.querySelector(`[data-action="${CSS.escape(had)}"]`));
  if (again) again.focus();
  else if (first || had) focusFirst(one.box.element);
}

function submitButton(one, view) {
  return h(
    "button",
    {
      type: "button",
      class: "button primary",
      disabled: one.busy || view.submit_disabled === true,
      "aria-busy": String(one.busy),
      on: { click: () => send(one) },
    },
    one.busy ? h("span", { class: "spinner", "aria-hidden": "true" }) : null,
    textObject(view.submit),
  );
}

async function send(one) {
  if (one.busy || !one.view.submit) return;
  const values = valuesOf(surface("view", { view_id: one.view.id }), one.view.blocks);
  one.errors = {};
  one.busy = true;
  draw(one, one.view);
  const answer = await api.submit({ user: store.me, view_id: one.view.id, values });
  one.busy = false;
  if (!shown.has(one.view.id)) return undefined;
  if (answer.response_action === "errors") {
    one.errors = answer.errors ?? {};
    return refuse(one);
  }
  if (answer.ok === false) toast(answer.error ?? "The dialog could not be sent.");
  return draw(one, one.view);
}

function refuse(one) {
  draw(one, one.view);
  one.form.querySelector("[aria-invalid]")?.focus();
}

async function cancel(one) {
  const { id } = one.view;
  store.views = store.views.filter((view) => view.id !== id);
  changed();
  const answer = await api.close({ user: store.me, view_id: id });
  if (answer.ok === false) toast(answer.error);
}
