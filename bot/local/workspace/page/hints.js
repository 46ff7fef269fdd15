// Commands and names offered while typing, and the way from what is typed to what Slack sends.

import { h, icon } from "./dom.js";
import { store, displayName } from "./store.js";
import { avatar, roleName } from "./avatar.js";

const MAX_HINTS = 8;

/** Names that were picked or typed become the ids that Slack sends, addresses become links; the workspace escapes the rest. */
export function toWire(text) {
  const people = Object.values(store.users).flatMap((u) => [
    [`@${displayName(u)}`, `<@${u.id}>`],
    [`@${u.name}`, `<@${u.id}>`],
  ]);
  const groups = Object.entries(store.usergroups).map(([id, g]) => [
    `@${g.handle.replace(/^@/, "")}`,
    `<!subteam^${id}>`,
  ]);
  const channels = store.channels.filter((c) => !c.is_im).map((c) => [`#${c.name}`, `<#${c.id}>`]);
  const names = new Map([...channels, ...groups, ...people]);
  const longest = [...names.keys()]
    .filter((name) => name.length > 1)
    .sort((a, b) => b.length - a.length)
    .map((n) => n.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const known = new RegExp(
    `(https?://[^\\s<>]+[^\\s<>.,;:!?)'"])|(?<![\\w<])(${longest.join("|") || "(?!)"})(?!\\w)`,
    "g",
  );
  return text.replace(known, (found, address) => (address ? `<${address}>` : names.get(found)));
}

/** What to offer for the text before the caret: {insert, …}, or {command, passive} for a reminder of a command's usage. */
export function hintsFor(text, caret) {
  const before = text.slice(0, caret);
  if (/^\/\S*$/.test(before) || (/^\/\S+ /.test(before) && !before.includes("\n"))) return commandHints(before);
  const word = /(?:^|\s)([@#])([\p{L}\p{N}._-]*)$/u.exec(before);
  return word ? nameHints(word[1], word[2].toLowerCase()).slice(0, MAX_HINTS) : [];
}

function commandHints(before) {
  const [typed, ...rest] = before.split(" ");
  const all = store.app.commands ?? [];
  if (rest.length) return all.filter((c) => c.command === typed).map((c) => ({ command: c, passive: true }));
  return all.filter((c) => c.command.startsWith(typed)).map((c) => ({ command: c, insert: `${c.command} `, from: 0 }));
}

function nameHints(mark, typed) {
  const fits = (...names) =>
    names.some(
      (name) =>
        name
          ?.toLowerCase()
          .split(/\s+/)
          .some((part) => part.startsWith(typed)) || name?.toLowerCase().startsWith(typed),
    );
  if (mark === "#")
    return store.channels
      .filter((c) => !c.is_im && fits(c.name))
      .map((c) => ({ label: `# ${c.name}`, insert: `#${c.name} `, back: typed.length + 1 }));
  const people = Object.values(store.users)
    .filter((u) => u.role !== "deactivated" && fits(displayName(u), u.name))
    .map((u) => ({
      user: u,
      label: displayName(u),
      note: roleName(u),
      insert: `@${displayName(u)} `,
      back: typed.length + 1,
    }));
  const groups = Object.values(store.usergroups)
    .filter((g) => fits(g.handle.replace(/^@/, "")))
    .map((g) => ({
      label: `@${g.handle.replace(/^@/, "")}`,
      note: `${g.users.length} people`,
      insert: `@${g.handle.replace(/^@/, "")} `,
      back: typed.length + 1,
    }));
  return [...people, ...groups];
}

export function hintRow(hint, active, onPick) {
  const props = {
    class: `hint-row${active ? " active" : ""}`,
    role: "option",
    "aria-selected": String(active),
    on: { click: onPick },
  };
  if (hint.command) {
    return h(
      "div",
      props,
      icon("slash"),
      h(
        "span",
        { class: "hint-words" },
        h(
          "span",
          {},
          h("strong", {}, hint.command.command),
          " ",
          h("span", { class: "usage" }, hint.command.usage_hint ?? ""),
        ),
        h("span", { class: "hint-note" }, hint.command.description ?? ""),
      ),
    );
  }
  return h(
    "div",
    props,
    hint.user ? avatar(hint.user, "tiny") : null,
    h("strong", {}, hint.label),
    hint.note ? h("span", { class: "hint-note" }, hint.note) : null,
  );
}
