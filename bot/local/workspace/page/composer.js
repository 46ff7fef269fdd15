// Where a person writes: Enter sends, Shift+Enter breaks the line, "/" offers commands, "@" and "#" offer names.

import { h, iconButton, fill } from "./dom.js";
import { store, channelOf } from "./store.js";
import { toWire, hintsFor, hintRow } from "./hints.js";
import { told } from "./overlay.js";
import * as api from "./api.js";

const drafts = new Map();
const MARKS = [
  ["bold", "Bold", "*"],
  ["italic", "Italic", "_"],
  ["strike", "Strikethrough", "~"],
  ["code", "Code", "`"],
  ["block", "Code block", "```"],
];

/** A composer for one place. `show({channel, thread, placeholder, disabled})` points it somewhere; drafts are kept per place. */
export function composer(label) {
  const input = h("textarea", {
    class: "composer-input",
    rows: 1,
    "aria-label": label,
    autocomplete: "off",
    spellcheck: "true",
  });
  const hints = h("div", { class: "hints", role: "listbox", "aria-label": "Suggestions", hidden: true });
  const send = iconButton("send", "Send now", () => submit(), "send");
  const box = h(
    "div",
    { class: "composer" },
    h(
      "div",
      { class: "composer-tools", role: "toolbar", "aria-label": "Formatting" },
      MARKS.map(([name, words, mark]) => iconButton(name, words, () => wrap(mark))),
      iconButton("quote", "Quote", () => prefix("> ")),
      iconButton("list", "Bulleted list", () => prefix("• ")),
    ),
    input,
    h(
      "div",
      { class: "composer-actions" },
      iconButton("at", "Mention someone", () => start("@")),
      iconButton("slash", "Run shortcut", () => start("/")),
      h("span", { class: "spacer" }),
      h("span", { class: "composer-help" }, h("kbd", {}, "Shift"), " + ", h("kbd", {}, "Return"), " to add a new line"),
      send,
    ),
  );
  const element = h("div", { class: "composer-wrap" }, hints, box);
  let place = { key: "", channel: null, thread: null };
  let offered = [];
  let picked = 0;

  function resize() {
    input.style.setProperty("height", "auto");
    input.style.setProperty("height", `${Math.min(input.scrollHeight, 240)}px`);
    const ready = input.value.trim() !== "";
    send.disabled = !ready;
    box.classList.toggle("ready", ready);
  }

  function set(text, caret = text.length) {
    input.value = text;
    input.setSelectionRange(caret, caret);
    onInput();
    input.focus();
  }

  function onInput() {
    drafts.set(place.key, input.value);
    resize();
    offered = hintsFor(input.value, input.selectionStart);
    picked = 0;
    drawHints();
  }

  function drawHints() {
    hints.hidden = offered.length === 0;
    fill(
      hints,
      offered.length && offered[0].command ? h("div", { class: "hints-title" }, store.app.name ?? "Commands") : null,
      offered.map((hint, at) => hintRow(hint, at === picked && !hint.passive, () => choose(hint))),
    );
  }

  function choose(hint) {
    if (hint.passive) return;
    const caret = input.selectionStart;
    const from = hint.from ?? caret - hint.back;
    set(input.value.slice(0, from) + hint.insert + input.value.slice(caret), from + hint.insert.length);
  }

  function wrap(mark) {
    const { selectionStart: from, selectionEnd: to, value } = input;
    set(value.slice(0, from) + mark + value.slice(from, to) + mark + value.slice(to), to + mark.length);
  }

  function prefix(mark) {
    const from = input.value.lastIndexOf("\n", input.selectionStart - 1) + 1;
    set(input.value.slice(0, from) + mark + input.value.slice(from));
  }

  function start(mark) {
    if (mark === "/") return set(input.value.startsWith("/") ? input.value : "/");
    return set(`${input.value}${/(^|\s)$/.test(input.value) ? "" : " "}${mark}`);
  }

  async function submit() {
    const text = input.value.trim();
    if (!text || send.disabled) return;
    const { channel, thread, key } = place;
    set("");
    const isCommand = /^\/[a-z]/i.test(text);
    const answer =
      isCommand && thread
        ? { ok: false, error: `${text.split(/\s/)[0]} is not supported in threads. Sorry!` }
        : isCommand
          ? await api.command({
              user: store.me,
              channel,
              command: text.split(/\s/)[0],
              text: toWire(text.replace(/^\S+\s*/, "")),
            })
          : await api.say({ user: store.me, channel, text: toWire(text), ...(thread ? { thread_ts: thread } : {}) });
    if (told(answer) || drafts.get(key)) return;
    drafts.set(key, text);
    if (place.key === key) set(text);
  }

  function onKey(event) {
    if (event.isComposing) return;
    const open = !hints.hidden && offered.some((hint) => !hint.passive);
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp"))
      picked = (picked + (event.key === "ArrowDown" ? 1 : offered.length - 1)) % offered.length;
    else if (open && (event.key === "Tab" || (event.key === "Enter" && input.value !== offered[picked].insert?.trim())))
      choose(offered[picked]);
    else if (!hints.hidden && event.key === "Escape") {
      offered = [];
      event.stopPropagation();
    } else if (event.key === "Enter" && !event.shiftKey) submit();
    else return;
    event.preventDefault();
    drawHints();
  }

  input.addEventListener("input", onInput);
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", () => {
    hints.hidden = true;
  });
  hints.addEventListener("pointerdown", (event) => event.preventDefault());

  function show({ channel, thread = null, placeholder }) {
    const key = `${store.me}:${channel}:${thread ?? ""}`;
    input.placeholder = placeholder;
    input.setAttribute("aria-label", placeholder);
    if (key === place.key) return;
    place = { key, channel, thread };
    input.value = drafts.get(key) ?? "";
    offered = [];
    drawHints();
    resize();
  }
  return { element, show, focus: () => input.focus() };
}

/** "Agent is checking the pods…", moving through the messages it was given. */
export function statusLine() {
  const words = h("span", {});
  const element = h(
    "div",
    { class: "status-line", role: "status", "aria-live": "polite" },
    h("span", { class: "status-dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
    words,
  );
  element.hidden = true;
  let turn = 0;
  let current = null;
  const draw = () => {
    const loading = current?.loading_messages ?? [];
    element.hidden = !current?.status;
    words.textContent = current?.status
      ? (loading[turn % (loading.length || 1)] ?? `${store.app.name ?? "The app"} ${current.status}`)
      : "";
  };
  setInterval(() => {
    turn += 1;
    if (current?.loading_messages?.length > 1) draw();
  }, 4000);
  return {
    element,
    show: (status) => {
      if (status !== current) turn = 0;
      current = status;
      draw();
    },
  };
}

export const placeholderFor = (channel) =>
  channelOf(channel)?.is_im || !channelOf(channel)
    ? `Message ${store.app.name ?? "the app"}`
    : `Message #${channelOf(channel).name}`;
