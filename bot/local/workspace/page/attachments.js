// Legacy attachments: the only place where Slack draws a coloured bar.

import { h, ownUrl } from "./dom.js";
import { mrkdwn, plainText } from "./mrkdwn.js";
import { blocks } from "./blocks.js";
import { link } from "./inline.js";

const NAMED = { good: "#2eb67d", warning: "#ecb22e", danger: "#e01e5a" };
const RENDERED_AS_MRKDWN = ["text", "pretext", "fields"];

function colour(value) {
  if (NAMED[value]) return NAMED[value];
  const hex = `#${String(value ?? "").replace(/^#/, "")}`;
  return /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.test(hex) ? hex : null;
}

function attachment(item, where) {
  const parsed = item.mrkdwn_in ?? RENDERED_AS_MRKDWN;
  const text = (name, value) => (parsed.includes(name) ? mrkdwn(value) : plainText(value));
  const bar = h("span", { class: "attachment-bar", "aria-hidden": "true" });
  if (colour(item.color)) bar.style.setProperty("background", colour(item.color));
  const address = item.image_url && ownUrl(item.image_url);
  const inside = item.blocks?.length
    ? blocks(item.blocks, where)
    : [
        item.author_name
          ? h(
              "div",
              { class: "attachment-author" },
              item.author_link ? link(item.author_link, item.author_name) : item.author_name,
            )
          : null,
        item.title
          ? h(
              "div",
              { class: "attachment-title" },
              item.title_link ? link(item.title_link, ...mrkdwn(item.title)) : mrkdwn(item.title),
            )
          : null,
        item.text ? h("div", { class: "text" }, text("text", item.text)) : null,
        item.fields?.length
          ? h(
              "div",
              { class: "attachment-fields" },
              item.fields.map((field) =>
                h(
                  "div",
                  { class: field.short ? "short" : "" },
                  h("div", { class: "field-title" }, plainText(field.title ?? "")),
                  h("div", {}, text("fields", field.value ?? "")),
                ),
              ),
            )
          : null,
        address ? h("img", { class: "attachment-image", src: address, alt: item.fallback ?? "" }) : null,
        !item.text && !item.title && !item.fields?.length && item.fallback
          ? h("div", { class: "text" }, plainText(item.fallback))
          : null,
        item.footer ? h("div", { class: "attachment-footer" }, plainText(item.footer)) : null,
      ];
  return h(
    "div",
    { class: "attachment-wrap" },
    item.pretext ? h("div", { class: "text" }, text("pretext", item.pretext)) : null,
    h("div", { class: "attachment" }, bar, h("div", { class: "attachment-body" }, inside)),
  );
}

export const attachments = (items, where) => (items ?? []).map((item) => attachment(item, where));
