// Block Kit, block by block. What the page cannot show is named, never dropped.

import { h } from "./dom.js";
import { store } from "./store.js";
import { textObject } from "./mrkdwn.js";
import { markdown } from "./markdown.js";
import { richText } from "./richtext.js";
import { element, inputId } from "./elements.js";
import { plan, taskCard, container, card, carousel, alert } from "./cards.js";
import { table } from "./table.js";
import { file, imageUrl, picture } from "./files.js";
import { chart } from "./chart.js";

function header(block) {
  return h("div", { class: "header-block", role: "heading", "aria-level": block.level ?? 3 }, textObject(block.text));
}

function section(block, where) {
  const side = block.accessory && h("div", { class: "accessory" }, element(block.accessory, block, where));
  return h(
    "div",
    { class: "section-block" },
    h(
      "div",
      { class: "section-main" },
      block.text ? h("div", { class: "section-text" }, textObject(block.text)) : null,
      block.fields
        ? h(
            "div",
            { class: "fields" },
            block.fields.map((field) => h("div", { class: "field" }, textObject(field))),
          )
        : null,
    ),
    side,
  );
}

function context(block, where) {
  return h(
    "div",
    { class: "context-block" },
    (block.elements ?? []).map((item) => h("span", { class: "context-item" }, element(item, block, where))),
  );
}

const row = (className) => (block, where) =>
  h(
    "div",
    { class: className },
    (block.elements ?? []).map((item) => element(item, block, where)),
  );

function input(block, where, errors = {}) {
  const problem = errors[block.block_id];
  const control = element(block.element, block, where);
  const problemId = `${inputId(where, block)}-problem`;
  const field = control.matches?.("input,textarea,button") ? control : (control.querySelector("input") ?? control);
  if (problem) field.setAttribute("aria-invalid", "true");
  if (problem) field.setAttribute("aria-describedby", problemId);
  if (field.matches("button")) field.setAttribute("aria-label", block.label?.text ?? "");
  return h(
    "div",
    { class: `input-block${problem ? " invalid" : ""}`, dataset: { blockId: block.block_id } },
    h(
      "label",
      { class: "input-label", htmlFor: inputId(where, block) },
      textObject(block.label),
      block.optional ? h("span", { class: "optional" }, " (optional)") : null,
    ),
    control,
    problem ? h("div", { class: "problem", id: problemId, role: "alert" }, problem) : null,
    block.hint ? h("div", { class: "hint" }, textObject(block.hint)) : null,
  );
}

function image(block) {
  const address = imageUrl(block);
  const words = block.title ? h("div", { class: "image-title" }, textObject(block.title)) : null;
  return h(
    "figure",
    { class: "image-block" },
    words,
    address
      ? picture(address, block.alt_text)
      : h("span", { class: "image-words" }, `Image: ${block.alt_text ?? "not shown"}`),
  );
}

function fileBlock(block) {
  const known = store.files[block.file_id ?? block.external_id];
  return known ? file(known) : h("span", { class: "unknown-block" }, "[file]");
}

const RENDER = {
  card,
  carousel,
  header,
  section,
  context,
  input,
  image,
  table,
  plan,
  alert,
  container,
  file: fileBlock,
  actions: row("actions-block"),
  context_actions: row("context-actions"),
  divider: () => h("hr", { class: "divider" }),
  rich_text: (block) => richText(block),
  markdown: (block) => markdown(block.text),
  task_card: taskCard,
  data_visualization: chart,
  data_table: table,
};

/** One block. `errors` are a dialog's sentences by block_id. */
export function block(item, where, errors) {
  const render = RENDER[item?.type];
  if (!render) return h("div", { class: "unknown-block" }, `[${item?.type ?? "empty block"}]`);
  return h(
    "div",
    { class: "block", dataset: { type: item.type, blockId: item.block_id ?? "" } },
    render(item, where, errors, block),
  );
}

export const blocks = (items, where, errors) =>
  h(
    "div",
    { class: "blocks" },
    (items ?? []).map((item) => block(item, where, errors)),
  );
