// Files and pictures in messages.

import { h, icon, ownUrl } from "./dom.js";
import { fileUrl } from "./api.js";
import { dialog } from "./overlay.js";
import { store } from "./store.js";

const UNITS = ["bytes", "kB", "MB", "GB"];

function size(bytes) {
  if (!Number.isFinite(bytes)) return "";
  const power = bytes > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3)) : 0;
  return `${power ? (bytes / 1000 ** power).toFixed(bytes / 1000 ** power < 10 ? 1 : 0) : bytes} ${UNITS[power]}`;
}

const kind = (item) => /\.(\w{1,8})$/.exec(item.name ?? "")?.[1].toUpperCase() ?? item.mimetype ?? "File";

/** Where an image's picture is, if it is this workspace's own: nothing is fetched from elsewhere. */
export function imageUrl(image) {
  const address = ownUrl(image.image_url ?? store.files[image.slack_file?.id]?.url ?? "");
  return address && fileUrl(address);
}

/** A picture that opens large. */
export function picture(address, words) {
  const open = () => {
    const shown = dialog({
      title: words || "Image",
      body: h("img", { src: address, alt: words ?? "" }),
      className: "lightbox",
      onCancel: () => shown.close(),
    });
    shown.element.focus();
  };
  return h(
    "button",
    { type: "button", class: "picture", "aria-label": `Open image: ${words ?? ""}`, on: { click: open } },
    h("img", { src: address, alt: words ?? "" }),
  );
}

export function file(item) {
  const address = fileUrl(item.url ?? item.url_private ?? "");
  const name = item.title || item.name || "file";
  if (item.mimetype?.startsWith("image/")) {
    return h(
      "div",
      { class: "file-image" },
      h("div", { class: "file-name" }, name),
      picture(address, item.alt_txt || name),
    );
  }
  return h(
    "a",
    { class: "file-card", href: address, download: item.name ?? "", "aria-label": `Download ${name}` },
    h("span", { class: "file-icon" }, icon("file")),
    h(
      "span",
      { class: "file-words" },
      h("span", { class: "file-title" }, name),
      h("span", { class: "file-size" }, `${kind(item)} · ${size(item.size)}`),
    ),
    icon("download"),
  );
}
