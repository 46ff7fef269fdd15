// The small set of emoji that the page can draw itself (emoji.svg), so that they look the same on a machine without an emoji font.

import { h, sprite } from "./dom.js";

const DRAWN = {
  rotating_light: "🚨",
  white_check_mark: "✅",
  x: "❌",
  warning: "⚠️",
  hourglass_flowing_sand: "⏳",
  hourglass: "⌛",
  mag: "🔍",
  rocket: "🚀",
  red_circle: "🔴",
  large_yellow_circle: "🟡",
  large_green_circle: "🟢",
  large_orange_circle: "🟠",
  large_blue_circle: "🔵",
  white_circle: "⚪",
  black_circle: "⚫",
  large_red_square: "🟥",
  large_yellow_square: "🟨",
  large_green_square: "🟩",
  large_orange_square: "🟧",
  large_blue_square: "🟦",
  eyes: "👀",
  tada: "🎉",
  thumbsup: "👍",
  thumbsdown: "👎",
  lock: "🔒",
  unlock: "🔓",
  scroll: "📜",
  chart_with_upwards_trend: "📈",
  chart_with_downwards_trend: "📉",
  bar_chart: "📊",
  bell: "🔔",
  no_bell: "🔕",
  no_entry: "⛔",
  no_entry_sign: "🚫",
  page_facing_up: "📄",
  clipboard: "📋",
  wrench: "🔧",
  hammer_and_wrench: "🛠️",
  stopwatch: "⏱️",
  alarm_clock: "⏰",
  clock1: "🕐",
  repeat: "🔁",
  arrows_counterclockwise: "🔄",
  leftwards_arrow_with_hook: "↩️",
  rewind: "⏪",
  link: "🔗",
  robot_face: "🤖",
  fire: "🔥",
  bulb: "💡",
  question: "❓",
  exclamation: "❗",
  information_source: "ℹ️",
  octagonal_sign: "🛑",
  shield: "🛡️",
  gear: "⚙️",
  package: "📦",
  zap: "⚡",
  heavy_check_mark: "✔️",
  raised_hand: "✋",
  wave: "👋",
  wastebasket: "🗑️",
  pencil2: "✏️",
  speech_balloon: "💬",
  heart: "❤️",
  star: "⭐",
  moneybag: "💰",
  calendar: "📅",
  key: "🔑",
  double_vertical_bar: "⏸️",
  arrow_forward: "▶️",
  busts_in_silhouette: "👥",
  bust_in_silhouette: "👤",
  pray: "🙏",
};
const SAME = {
  "+1": "thumbsup",
  "-1": "thumbsdown",
  large_red_circle: "red_circle",
  yellow_circle: "large_yellow_circle",
  green_circle: "large_green_circle",
  large_circle: "large_blue_circle",
  orange_circle: "large_orange_circle",
  hand: "raised_hand",
  stop_sign: "octagonal_sign",
  pause_button: "double_vertical_bar",
  mag_right: "mag",
  trash: "wastebasket",
  memo: "pencil2",
  pencil: "pencil2",
  stop_button: "octagonal_sign",
  date: "calendar",
  back: "leftwards_arrow_with_hook",
  heavy_exclamation_mark: "exclamation",
  tools: "hammer_and_wrench",
  arrow_right_hook: "leftwards_arrow_with_hook",
  clock: "clock1",
  high_voltage: "zap",
};

const bare = (character) => character.replace(/\uFE0F/g, "");
const NAMES = new Map(Object.entries(DRAWN).map(([name, character]) => [bare(character), name]));
const CHARACTERS = new RegExp(`(${[...NAMES.keys()].join("|")})\uFE0F?`, "u");

/** The drawing of `:name:`; its name as text where the page has none. */
export function emoji(name, className = "emoji") {
  const known = DRAWN[name] ? name : SAME[name];
  if (!known) return document.createTextNode(`:${name}:`);
  return h(
    "span",
    { class: className, role: "img", "aria-label": `:${name}:`, title: `:${name}:` },
    sprite("emoji", known, "emoji-drawing"),
  );
}

/** Text with every emoji character that the page can draw replaced by its drawing. */
export function withEmoji(text) {
  const pieces = String(text).split(CHARACTERS);
  return pieces
    .map((piece, at) => (at % 2 ? emoji(NAMES.get(piece)) : piece.replace(/^\uFE0F/, "")))
    .filter((piece) => piece !== "");
}
