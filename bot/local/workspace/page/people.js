// The switch of person: the page can be anybody in the workspace, one at a time and another in a second window.

import { h } from "./dom.js";
import { store, me, displayName } from "./store.js";
import { avatar, roleName } from "./avatar.js";
import { menu, closeMenu } from "./overlay.js";

const groupsOf = (user) =>
  Object.entries(store.usergroups)
    .filter(([id, g]) => g.users?.includes(user.id) || user.groups?.includes(id))
    .map(([, g]) => `@${g.handle.replace(/^@/, "")}`);

function personItem(user, onPick) {
  const groups = groupsOf(user);
  const mine = user.id === store.me;
  return h(
    "button",
    {
      type: "button",
      role: "menuitemradio",
      "aria-checked": String(mine),
      tabIndex: -1,
      class: `menu-item person${mine ? " current" : ""}`,
      dataset: { user: user.id },
      on: {
        click: () => {
          closeMenu();
          onPick(user.id);
        },
      },
    },
    avatar(user, "small"),
    h(
      "span",
      { class: "person-words" },
      h("span", { class: "person-name" }, displayName(user), mine ? h("span", { class: "you" }, " (you)") : null),
      h("span", { class: "person-role" }, [roleName(user), user.title, ...groups].filter(Boolean).join(" · ")),
    ),
  );
}

/** The avatar button; `onPick(userId)` when another person is chosen. */
export function personButton(onPick, where) {
  const user = me();
  const button = h(
    "button",
    {
      type: "button",
      class: `person-button ${where}`,
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-label": `You are ${displayName(user)}, ${roleName(user)}. Switch person`,
      title: `${displayName(user)} · ${roleName(user)}`,
    },
    avatar(user, where === "top" ? "small" : ""),
    h("span", { class: "presence", "aria-hidden": "true" }),
  );
  button.addEventListener("click", () => {
    const people = Object.values(store.users).filter((u) => u.role !== "bot");
    const heading = h("div", { class: "menu-title" }, "Use the workspace as");
    const window2 = {
      label: "Open a second window as somebody else",
      onPick: () => open(location.href.replace(/([?&])user=[^&#]*/, "$1"), "_blank", "noopener"),
    };
    menu(
      button,
      [{ node: heading }, ...people.map((u) => ({ node: personItem(u, onPick) })), { divider: true }, window2],
      { label: "Switch person", align: where === "top" ? "end" : "start", className: "people-menu" },
    );
  });
  return button;
}
