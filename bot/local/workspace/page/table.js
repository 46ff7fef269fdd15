// table and data_table: cells are rich_text, raw_text or plain values.

import { h } from "./dom.js";
import { richText } from "./richtext.js";
import { textObject, plainText } from "./mrkdwn.js";

function cell(value) {
  if (value?.type === "rich_text") return richText(value);
  if (value?.type === "raw_text") return plainText(value.text, false);
  if (value?.type === "raw_number") return String(value.text ?? value.value ?? "");
  if (value?.type) return textObject(value);
  return String(value ?? "");
}

export function table(block) {
  const [head = [], ...rows] = block.rows ?? [];
  const columns = block.column_settings ?? [];
  const look = (at) => [columns[at]?.align ?? "", columns[at]?.is_wrapped ? "wrapped" : ""].join(" ").trim() || null;
  const line = (cells, tag) =>
    h(
      "tr",
      {},
      cells.map((value, at) => h(tag, { class: look(at), scope: tag === "th" ? "col" : null }, cell(value))),
    );
  return h(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": block.caption || "Table" },
    h(
      "table",
      { class: "block-table" },
      h("thead", {}, line(head, "th")),
      h(
        "tbody",
        {},
        rows.map((cells) => line(cells, "td")),
      ),
    ),
  );
}
