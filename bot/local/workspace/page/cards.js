// The agent's own blocks: plans of tasks, folding containers, alerts.

import { h, icon } from "./dom.js";
import { richText } from "./richtext.js";
import { textObject, plainText } from "./mrkdwn.js";
import { link } from "./inline.js";
import { element } from "./elements.js";

const STATUS = {
  pending: ["pending", "To do"],
  in_progress: ["progress", "In progress"],
  complete: ["done", "Done"],
  error: ["failed", "Failed"],
};
const folded = new Map();

/** A part that folds; whether it is open outlives a redraw, by `key`. */
function fold(key, open, summary, body, className) {
  const details = h(
    "details",
    { class: className, open: folded.get(key) ?? open },
    h("summary", {}, summary, icon("chevron", "fold-mark")),
    body,
  );
  details.addEventListener("toggle", () => folded.set(key, details.open));
  return details;
}

const words = (value) => (typeof value === "string" ? plainText(value) : richText(value));
const title = (value) => (value && typeof value === "object" ? textObject(value) : plainText(value ?? ""));

function statusIcon(status) {
  const [name, label] = STATUS[status] ?? STATUS.pending;
  return h(
    "span",
    { class: `task-status ${status ?? "pending"}`, role: "img", "aria-label": label, title: label },
    icon(name),
  );
}

function task(item, key) {
  const head = [statusIcon(item.status), h("span", { class: "task-title" }, title(item.title))];
  const body = [
    item.details ? h("div", { class: "task-details" }, words(item.details)) : null,
    item.output ? h("div", { class: "task-output" }, words(item.output)) : null,
    item.sources?.length
      ? h(
          "div",
          { class: "task-sources" },
          item.sources.map((source) => h("span", { class: "source" }, link(source.url, source.text ?? source.url))),
        )
      : null,
  ].filter(Boolean);
  if (!body.length) return h("div", { class: "task" }, h("div", { class: "task-head" }, head));
  return fold(`${key}:${item.task_id}`, true, head, h("div", { class: "task-body" }, body), "task");
}

export function plan(block, where) {
  const tasks = block.tasks ?? [];
  const done = tasks.filter((item) => item.status === "complete").length;
  const state = tasks.some((item) => item.status === "in_progress")
    ? "in_progress"
    : tasks.some((item) => item.status === "error")
      ? "error"
      : done === tasks.length
        ? "complete"
        : "pending";
  const head = [
    statusIcon(state),
    h("span", { class: "plan-title" }, title(block.title)),
    h("span", { class: "plan-count" }, `${done} of ${tasks.length}`),
  ];
  const key = `${where.key}:${block.block_id}`;
  return fold(
    key,
    true,
    head,
    h(
      "div",
      { class: "plan-tasks", role: "list" },
      tasks.map((item) => h("div", { role: "listitem" }, task(item, key))),
    ),
    "plan",
  );
}

export const taskCard = (block, where) =>
  h("div", { class: "plan single" }, task(block, `${where.key}:${block.block_id}`));

export function container(block, where, errors, render) {
  const inside = h(
    "div",
    { class: "container-body" },
    (block.child_blocks ?? []).map((child) => render(child, where, errors)),
  );
  const head = [
    h("span", { class: "container-title" }, block.title ? title(block.title) : richText(block.rich_text_title)),
    block.subtitle ? h("span", { class: "container-subtitle" }, title(block.subtitle)) : null,
  ];
  if (block.is_collapsible) {
    return fold(`${where.key}:${block.block_id}`, !block.default_collapsed, head, inside, "container");
  }
  return h("div", { class: "container" }, h("div", { class: "container-head" }, head), inside);
}

export function card(block, where) {
  return h(
    "div",
    { class: "container" },
    h("div", { class: "container-title" }, textObject(block.title)),
    h("div", { class: "container-subtitle" }, textObject(block.subtitle)),
    h("div", {}, textObject(block.body)),
    h("div", { class: "container-subtitle" }, textObject(block.subtext)),
    block.actions?.length
      ? h(
          "div",
          { class: "actions-block" },
          block.actions.map((item) => element(item, block, where)),
        )
      : null,
  );
}

export const carousel = (block, where) =>
  h(
    "div",
    { class: "carousel" },
    (block.elements ?? []).map((item) => card(item, where)),
  );

const LEVEL_ICONS = { default: "info", info: "info", warning: "warn", error: "failed", success: "done" };

export function alert(block) {
  const level = block.level in LEVEL_ICONS ? block.level : "default";
  return h(
    "div",
    { class: `alert-block ${level}`, role: level === "error" ? "alert" : "note" },
    icon(LEVEL_ICONS[level]),
    h("div", {}, textObject(block.text)),
  );
}
