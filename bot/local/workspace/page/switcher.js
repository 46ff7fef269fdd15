// Ctrl+K: to a channel, the app or a thread by name.

import { h, fill, icon } from "./dom.js";
import { store, isOpenTo } from "./store.js";
import { toChannel, toApp } from "./route.js";
import { dialog } from "./overlay.js";

let shown = null;

function places(typed) {
  const all = [
    ...store.channels
      .filter((c) => !c.is_im && isOpenTo(c))
      .map((c) => ({
        name: c.name,
        note: c.is_archived ? "archived" : c.topic,
        picture: c.is_archived ? "archive" : "hash",
        go: () => toChannel(c.id),
      })),
    { name: store.app.name ?? "App", note: "App home", picture: "robot", go: () => toApp("home") },
    {
      name: `${store.app.name ?? "App"} messages`,
      note: "Direct messages",
      picture: "chat",
      go: () => toApp("messages"),
    },
  ];
  const wanted = typed.toLowerCase().replace(/^[#@]/, "").trim();
  return all.filter((place) => place.name.toLowerCase().includes(wanted));
}

export function openSwitcher() {
  if (shown) return;
  let found = places("");
  let at = 0;
  const list = h("div", { class: "switcher-list", role: "listbox", "aria-label": "Places", id: "switcher-list" });
  const close = () => {
    shown?.close();
    shown = null;
  };
  const go = (place) => {
    close();
    place?.go();
  };
  const draw = () =>
    fill(
      list,
      found.length
        ? found.map((place, n) =>
            h(
              "div",
              {
                class: `hint-row${n === at ? " active" : ""}`,
                role: "option",
                "aria-selected": String(n === at),
                on: { click: () => go(place) },
              },
              icon(place.picture),
              h("strong", {}, place.name),
              h("span", { class: "hint-note" }, place.note ?? ""),
            ),
          )
        : h("div", { class: "hint-row" }, "Nothing by that name."),
    );
  const input = h("input", {
    class: "text-input",
    type: "text",
    placeholder: "Where would you like to go?",
    "aria-label": "Where would you like to go?",
    "aria-controls": "switcher-list",
    autocomplete: "off",
  });
  input.addEventListener("input", () => {
    found = places(input.value);
    at = 0;
    draw();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return go(found[at]);
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return undefined;
    event.preventDefault();
    at = (at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % (found.length || 1);
    return draw();
  });
  draw();
  shown = dialog({
    title: `Search ${store.team.name ?? ""}`,
    body: [input, list],
    className: "switcher",
    onCancel: close,
  });
  input.focus();
}
