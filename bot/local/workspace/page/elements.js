// Block elements: what can be pressed, chosen or typed. Each takes (element, block, surface) and gives a node.

import { h, icon, safeUrl } from "./dom.js";
import { store, displayName } from "./store.js";
import { textObject, mrkdwn } from "./mrkdwn.js";
import { menu, confirm } from "./overlay.js";
import { act, enter, entryOf } from "./surface.js";
import { imageUrl } from "./files.js";

/** Asks first where the element says so, then sends. */
async function press(element, block, where, what) {
  const ask = element.confirm;
  if (
    ask &&
    !(await confirm({
      title: textObject(ask.title ?? { type: "plain_text", text: "Are you sure?" }),
      body: textObject(ask.text),
      yes: textObject(ask.confirm ?? { type: "plain_text", text: "Yes" }),
      no: textObject(ask.deny ?? { type: "plain_text", text: "Cancel" }),
      danger: ask.style === "danger",
    }))
  )
    return false;
  await act(where, block, element, what);
  return true;
}

const hiddenFromMe = (element) =>
  element.visible_to_user_ids?.length && !element.visible_to_user_ids.includes(store.me);

function button(element, block, where) {
  const url = element.url && safeUrl(element.url);
  const onClick = () => press(element, block, where, { value: element.value });
  const props = {
    class: `button ${element.style ?? ""}`.trim(),
    "aria-label": element.accessibility_label,
    dataset: { action: element.action_id },
    on: { click: onClick },
  };
  if (url)
    return h("a", { ...props, href: url, target: "_blank", rel: "noopener noreferrer" }, textObject(element.text));
  return h("button", { type: "button", ...props }, textObject(element.text));
}

const isInput = (block) => block.type === "input";
const announces = (block) => !isInput(block) || block.dispatch_action === true;

const optionsOf = (element) => element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);
const sameOption = (a, b) => a?.value === b?.value;

/** A select box drawn as Slack's: the choices are a menu. `choices` are {entry, label}. */
function chooser(element, block, where, { choices, current, label, remember }) {
  const name = element.placeholder ? textObject(element.placeholder) : "Choose an option";
  const box = h("button", {
    type: "button",
    class: "select",
    "aria-haspopup": "menu",
    "aria-expanded": "false",
    dataset: { action: element.action_id },
  });
  const show = (text) =>
    box.replaceChildren(
      h("span", { class: text ? "select-value" : "select-value placeholder" }, text ?? name),
      icon("caret"),
    );
  show(current ? label(current) : null);
  const pick = async (choice) => {
    remember(choice);
    if (announces(block)) {
      if (!(await press(element, block, where, { selected: choice }))) return;
    }
    show(label(choice));
  };
  box.addEventListener("click", () =>
    menu(
      box,
      choices().map((choice) => ({
        label: label(choice),
        checked: current === choice,
        onPick: () => {
          current = choice;
          pick(choice);
        },
      })),
      { className: "select-menu", label: "Options" },
    ),
  );
  return box;
}

function staticSelect(element, block, where) {
  const stored = entryOf(where, block.block_id, element.action_id)?.selected_option ?? element.initial_option;
  const remember = (option) =>
    enter(where, block.block_id, element.action_id, { type: element.type, selected_option: option ?? null });
  const current = optionsOf(element).find((option) => sameOption(option, stored));
  remember(current);
  return chooser(element, block, where, {
    choices: () => optionsOf(element),
    current,
    label: (option) => textObject(option.text),
    remember,
  });
}

const NAMED = {
  users_select: {
    key: "selected_user",
    initial: "initial_user",
    ids: () =>
      Object.values(store.users)
        .filter((u) => u.role !== "deactivated")
        .map((u) => u.id),
    label: (id) => displayName(store.users[id]),
  },
  channels_select: {
    key: "selected_channel",
    initial: "initial_channel",
    ids: () => store.channels.filter((c) => !c.is_im).map((c) => c.id),
    label: (id) => `# ${store.channels.find((c) => c.id === id)?.name ?? id}`,
  },
};
NAMED.conversations_select = {
  ...NAMED.channels_select,
  key: "selected_conversation",
  initial: "initial_conversation",
};

function namedSelect(element, block, where) {
  const { key, initial, ids, label } = NAMED[element.type];
  const current = entryOf(where, block.block_id, element.action_id)?.[key] ?? element[initial];
  const remember = (id) => enter(where, block.block_id, element.action_id, { type: element.type, [key]: id ?? null });
  remember(current);
  return chooser(element, block, where, { choices: ids, current, label, remember });
}

function overflow(element, block, where) {
  const box = h(
    "button",
    {
      type: "button",
      class: "button overflow",
      "aria-label": "More actions",
      "aria-haspopup": "menu",
      dataset: { action: element.action_id },
    },
    icon("dots"),
  );
  const items = () =>
    (element.options ?? []).map((option) => ({
      label: textObject(option.text),
      hint: option.description && textObject(option.description),
      onPick: () => {
        if (option.url && safeUrl(option.url)) open(safeUrl(option.url), "_blank", "noopener");
        press(element, block, where, { selected: option });
      },
    }));
  box.addEventListener("click", () => menu(box, items(), { label: "More actions" }));
  return box;
}

/** Radio buttons, checkboxes and the many-from-a-list select, which is drawn as checkboxes. */
function choices(element, block, where) {
  const many = element.type !== "radio_buttons";
  const key = many ? "selected_options" : "selected_option";
  const initial = many ? (element.initial_options ?? []) : (element.initial_option ?? null);
  const stored = entryOf(where, block.block_id, element.action_id)?.[key] ?? initial;
  const remember = (entry) => enter(where, block.block_id, element.action_id, { type: element.type, [key]: entry });
  const chosen = (option) => [stored].flat().some((s) => sameOption(s, option));
  const name = `${where.key}-${block.block_id}-${element.action_id}`;
  const inputs = [];
  const onChange = () => {
    const options = optionsOf(element).filter((_, at) => inputs[at].checked);
    const entry = many ? options : (options[0] ?? null);
    remember(entry);
    if (announces(block)) press(element, block, where, { selected: entry });
  };
  remember(stored);
  return h(
    "div",
    { class: "choices", role: many ? "group" : "radiogroup" },
    optionsOf(element).map((option) => {
      const input = h("input", {
        type: many ? "checkbox" : "radio",
        name,
        checked: chosen(option),
        dataset: { action: element.action_id, value: option.value },
        on: { change: onChange },
      });
      inputs.push(input);
      return h(
        "label",
        { class: "choice" },
        input,
        h(
          "span",
          {},
          textObject(option.text),
          option.description ? h("span", { class: "choice-description" }, textObject(option.description)) : null,
        ),
      );
    }),
  );
}

const INPUT_TYPES = {
  number_input: "number",
  email_text_input: "email",
  url_text_input: "url",
  datepicker: "date",
  timepicker: "time",
};
const VALUE_KEYS = { datepicker: "selected_date", timepicker: "selected_time" };
const INITIAL_KEYS = { datepicker: "initial_date", timepicker: "initial_time" };

function textInput(element, block, where) {
  const key = VALUE_KEYS[element.type] ?? "value";
  const initial = element[INITIAL_KEYS[element.type] ?? "initial_value"] ?? "";
  const value = entryOf(where, block.block_id, element.action_id)?.[key] ?? initial;
  const remember = (entry) =>
    enter(where, block.block_id, element.action_id, { type: element.type, [key]: entry === "" ? null : entry });
  const props = {
    class: "text-input",
    value,
    id: inputId(where, block),
    placeholder: element.placeholder?.text,
    maxlength: element.max_length,
    minlength: element.min_length,
    dataset: { action: element.action_id },
    "aria-label": isInput(block) ? null : (element.placeholder?.text ?? element.action_id),
    on: { input: (event) => remember(event.target.value), change: () => dispatchTyped(element, block, where, key) },
  };
  remember(value);
  if (element.multiline) return h("textarea", { ...props, rows: 4 });
  return h("input", { ...props, type: INPUT_TYPES[element.type] ?? "text", autocomplete: "off" });
}

function dispatchTyped(element, block, where, key) {
  if (announces(block))
    act(where, block, element, { value: entryOf(where, block.block_id, element.action_id)?.[key] ?? "" });
}

export const inputId = (where, block) => `input-${where.key}-${block.block_id}`;

function image(element) {
  const address = imageUrl(element);
  return address
    ? h("img", { src: address, alt: element.alt_text ?? "", class: "element-image" })
    : h("span", { class: "image-words" }, element.alt_text ?? "");
}

function feedback(element, block, where) {
  const one = (option, picture) =>
    h(
      "button",
      {
        type: "button",
        class: "feedback-button",
        "aria-pressed": "false",
        "aria-label": option.accessibility_label ?? option.text?.text,
        title: option.text?.text,
        on: {
          click: (event) => {
            mark(event.currentTarget);
            act(where, block, element, { value: option.value });
          },
        },
      },
      icon(picture),
    );
  const pair = [one(element.positive_button ?? {}, "thumb-up"), one(element.negative_button ?? {}, "thumb-down")];
  const mark = (pressed) => pair.forEach((b) => b.setAttribute("aria-pressed", String(b === pressed)));
  return h("span", { class: "feedback" }, pair);
}

function iconElement(element, block, where) {
  return h(
    "button",
    {
      type: "button",
      class: "feedback-button",
      "aria-label": element.accessibility_label ?? element.text?.text,
      title: element.text?.text,
      dataset: { action: element.action_id },
      on: { click: () => press(element, block, where, { value: element.value }) },
    },
    icon(element.icon === "trash" ? "trash" : "dots"),
  );
}

const ELEMENTS = {
  button,
  workflow_button: button,
  overflow,
  image,
  static_select: staticSelect,
  external_select: staticSelect,
  users_select: namedSelect,
  channels_select: namedSelect,
  conversations_select: namedSelect,
  checkboxes: choices,
  radio_buttons: choices,
  multi_static_select: choices,
  plain_text_input: textInput,
  number_input: textInput,
  email_text_input: textInput,
  url_text_input: textInput,
  datepicker: textInput,
  timepicker: textInput,
  feedback_buttons: feedback,
  icon_button: iconElement,
  mrkdwn: (element) => h("span", {}, mrkdwn(element.text)),
  plain_text: (element) => h("span", {}, textObject(element)),
};

/** The node for a block element; its type as words where the page cannot show it; nothing where it is for other people. */
export function element(item, block, where) {
  if (hiddenFromMe(item)) return null;
  return ELEMENTS[item.type]?.(item, block, where) ?? h("span", { class: "unknown-block" }, `[${item.type}]`);
}
