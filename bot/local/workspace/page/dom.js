// Elements are made here and nowhere else: children are nodes or strings, and a string only ever becomes
// a text node, so nothing that came over the wire can turn into markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "tabIndex", "htmlFor"]);

/** An element. `props`: class, dataset, on (listeners), a few DOM properties, otherwise attributes; null and false leave one out. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "on")
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

/** Appends nodes and strings, however deeply nested in arrays. */
export function add(parent, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return parent;
}

export function fill(parent, ...children) {
  parent.replaceChildren();
  return add(parent, children);
}

/** A drawing from a sprite that is shipped with the page. */
export function sprite(file, name, className) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/page/${file}.svg#${name}`);
  svg.append(use);
  return svg;
}

export const icon = (name, className = "") => sprite("icons", name, `icon ${className}`.trim());

/** A button that is a picture: its name is for screen readers and the tooltip. */
export function iconButton(name, label, onClick, className = "") {
  return h(
    "button",
    {
      type: "button",
      class: `icon-button ${className}`.trim(),
      "aria-label": label,
      title: label,
      on: { click: onClick },
    },
    icon(name),
  );
}

/** The address if following it is harmless, else null: no script, no data, no file addresses. */
export function safeUrl(address) {
  try {
    const url = new URL(String(address), location.href);
    return ["http:", "https:", "mailto:", "tel:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** The address if the page may load it: its own origin only, as the content policy says too. */
export function ownUrl(address) {
  const url = safeUrl(address);
  return url && new URL(url).origin === location.origin ? url : null;
}
