// Pictures of people: initials on their colour, a robot for apps.

import { h, icon } from "./dom.js";
import { displayName } from "./store.js";

const COLOURS = ["#1264a3", "#2b8a3e", "#c2410c", "#7c3aed", "#b4235f", "#0f766e", "#a16207", "#4a154b"];
const ROLES = { member: "Member", guest: "Guest", external: "External", deactivated: "Deactivated", bot: "App" };

export const roleName = (user) => ROLES[user?.role] ?? "Member";

function colour(user) {
  const given = String(user.color ?? "").replace(/^#?/, "#");
  if (/^#[0-9a-f]{6}$/i.test(given)) return given;
  return COLOURS[[...String(user.id ?? "")].reduce((sum, c) => sum + c.codePointAt(0), 0) % COLOURS.length];
}

const initials = (user) =>
  user.initials ||
  displayName(user)
    .split(/\s+/)
    .map((word) => [...word][0] ?? "")
    .slice(0, 2)
    .join("")
    .toUpperCase();

export function avatar(user, className = "") {
  const box = h(
    "span",
    { class: `avatar ${className}`.trim(), "aria-hidden": "true" },
    user.role === "bot" || user.isBot ? icon("robot") : initials(user),
  );
  box.style.setProperty("background", colour(user));
  return box;
}
