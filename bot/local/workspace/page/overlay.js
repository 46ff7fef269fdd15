// Things that float: menus, dialogs, toasts. Escape closes the topmost one and the focus goes back to where it was.

import { h, iconButton } from "./dom.js";

const FOCUSABLE =
  'button:not([disabled]),a[href],input:not([disabled]),textarea:not([disabled]),select:not([disabled]),[tabindex="0"]';
const TOAST_MS = 7000;

let openMenu = null;

/** A menu under `anchor`. Items: {label, hint, icon, danger, checked, onPick}, {divider: true} or {node}. Arrow keys move. */
export function menu(anchor, items, { label = "Menu", align = "start", className = "" } = {}) {
  closeMenu();
  const list = h("div", { class: `menu ${className}`.trim(), role: "menu", "aria-label": label }, items.map(menuItem));
  const host = document.getElementById("popovers");
  const away = (event) => {
    if (!list.contains(event.target) && !anchor.contains(event.target)) closeMenu(false);
  };
  host.append(list);
  place(list, anchor, align);
  anchor.setAttribute("aria-expanded", "true");
  list.addEventListener("keydown", (event) => onMenuKey(event, list));
  document.addEventListener("pointerdown", away, true);
  openMenu = { list, anchor, away };
  (list.querySelector('[role^="menuitem"][aria-checked="true"]') ?? list.querySelector('[role^="menuitem"]'))?.focus();
}

export function closeMenu(restoreFocus = true) {
  if (!openMenu) return;
  const { list, anchor, away } = openMenu;
  openMenu = null;
  document.removeEventListener("pointerdown", away, true);
  list.remove();
  anchor.setAttribute("aria-expanded", "false");
  if (restoreFocus && anchor.isConnected) anchor.focus();
}

function menuItem(item) {
  if (item.divider) return h("div", { class: "menu-divider", role: "separator" });
  if (item.node) return item.node;
  const pick = () => {
    closeMenu();
    item.onPick();
  };
  const role = item.checked === undefined ? "menuitem" : "menuitemradio";
  return h(
    "button",
    {
      type: "button",
      role,
      tabIndex: -1,
      class: `menu-item${item.danger ? " danger" : ""}`,
      "aria-checked": item.checked === undefined ? null : String(item.checked),
      on: { click: pick },
    },
    h("span", { class: "menu-label" }, item.label),
    item.hint ? h("span", { class: "menu-hint" }, item.hint) : null,
  );
}

function onMenuKey(event, list) {
  const items = [...list.querySelectorAll('[role^="menuitem"]')];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to !== undefined) items.at(to % items.length).focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function place(list, anchor, align) {
  const box = anchor.getBoundingClientRect();
  const size = list.getBoundingClientRect();
  const left = align === "end" ? box.right - size.width : box.left;
  const below = box.bottom + 4;
  const top = below + size.height > innerHeight - 8 ? Math.max(8, box.top - size.height - 4) : below;
  list.style.setProperty("left", `${Math.max(8, Math.min(left, innerWidth - size.width - 8))}px`);
  list.style.setProperty("top", `${top}px`);
}

/** A dialog over everything. Returns {element, close}; Escape, the cross and the backdrop call `onCancel`. */
export function dialog({ title, body, footer, className = "", host = "popovers", onCancel, icon }) {
  const before = document.activeElement;
  const titleId = `dialog-${crypto.randomUUID()}`;
  const box = h(
    "div",
    {
      class: `dialog ${className}`.trim(),
      role: "dialog",
      "aria-modal": "true",
      "aria-labelledby": titleId,
      tabindex: "-1",
    },
    h(
      "header",
      { class: "dialog-header" },
      icon ?? null,
      h("h1", { id: titleId }, title),
      iconButton("close", "Close", () => onCancel()),
    ),
    h("div", { class: "dialog-body" }, body),
    footer ? h("footer", { class: "dialog-footer" }, footer) : null,
  );
  const backdrop = h(
    "div",
    {
      class: "backdrop",
      on: {
        pointerdown: (event) => {
          if (event.target === backdrop) onCancel();
        },
        keydown: (event) => onDialogKey(event, box, onCancel),
      },
    },
    box,
  );
  document.getElementById(host).append(backdrop);
  const close = () => {
    backdrop.remove();
    if (before?.isConnected) before.focus();
  };
  return { element: box, close };
}

/** The first thing to type into or to press; the dialog itself where there is nothing. */
export function focusFirst(box) {
  (
    box.querySelector(".dialog-body input, .dialog-body textarea, .dialog-body select") ??
    box.querySelector(".dialog-footer button:last-child") ??
    box
  ).focus();
}

function onDialogKey(event, box, onCancel) {
  if (event.key === "Escape") {
    event.stopPropagation();
    event.preventDefault();
    return onCancel();
  }
  if (event.key !== "Tab") return undefined;
  const stops = [...box.querySelectorAll(FOCUSABLE)].filter((e) => e.offsetParent !== null && e.tabIndex >= 0);
  if (!stops.length) return event.preventDefault();
  const edge = event.shiftKey ? stops[0] : stops.at(-1);
  if (document.activeElement === edge || document.activeElement === box) {
    event.preventDefault();
    (event.shiftKey ? stops.at(-1) : stops[0]).focus();
  }
  return undefined;
}

/** Asks as Slack's confirm object does; resolves to true or false. */
export function confirm({ title, body, yes, no, danger }) {
  return new Promise((resolve) => {
    const end = (answer) => {
      shown.close();
      resolve(answer);
    };
    const shown = dialog({
      title,
      body: h("div", { class: "confirm-text" }, body),
      className: "confirm",
      onCancel: () => end(false),
      footer: [
        h("button", { type: "button", class: "button", on: { click: () => end(false) } }, no),
        h(
          "button",
          { type: "button", class: `button ${danger ? "danger" : "primary"}`, on: { click: () => end(true) } },
          yes,
        ),
      ],
    });
    focusFirst(shown.element);
  });
}

/** A sentence at the bottom of the window, gone after a while. */
export function toast(sentence, kind = "error") {
  const box = h(
    "div",
    { class: `toast ${kind}` },
    h("span", {}, sentence),
    iconButton("close", "Dismiss", () => box.remove()),
  );
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), TOAST_MS);
}

/** Shows what went wrong with an answer of the workspace, and says whether it went right. */
export function told(answer) {
  if (answer.ok === false) toast(answer.error ?? "Something went wrong.");
  return answer.ok !== false;
}
