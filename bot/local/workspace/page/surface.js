// Where blocks are shown (a message, a dialog, the home) and what a person has entered there so far.

import * as api from "./api.js";
import { store } from "./store.js";
import { told } from "./overlay.js";

const entered = new Map();

/** `kind` is message, ephemeral, view or home; `at` has channel, ts, thread_ts or view_id. What was entered outlives a redraw. */
export function surface(kind, at, blocks = []) {
  const key = [kind, store.me, at.view_id ?? `${at.channel}:${at.ts}`].join(":");
  if (!entered.has(key)) entered.set(key, {});
  return { kind, ...at, blocks, values: entered.get(key), key };
}

export const forget = (view) => entered.delete(`view:${store.me}:${view}`);

export function enter(where, blockId, actionId, entry) {
  (where.values[blockId] ??= {})[actionId] = entry;
}

export const entryOf = (where, blockId, actionId) => where.values[blockId]?.[actionId];

const busy = new Set();

/** What is entered in the blocks that are shown now; an earlier view's entries stay behind. */
export function valuesOf(where, blocks) {
  const present = new Set(withChildren(blocks ?? []).map((block) => block.block_id));
  return Object.fromEntries(Object.entries(where.values).filter(([id]) => present.has(id)));
}

const withChildren = (blocks) => blocks.flatMap((block) => [block, ...withChildren(block.child_blocks ?? [])]);

/** Sends a press or a choice. The same element is not sent twice while the first is on its way. */
export async function act(where, block, element, what = {}) {
  const key = `${where.key}:${block.block_id}:${element.action_id}`;
  if (busy.has(key)) return;
  busy.add(key);
  try {
    told(
      await api.click({
        user: store.me,
        channel: where.channel,
        ts: where.ts,
        thread_ts: where.thread_ts,
        view_id: where.view_id,
        container: where.kind,
        block_id: block.block_id,
        action_id: element.action_id,
        ...what,
        state: valuesOf(where, where.blocks),
      }),
    );
  } finally {
    busy.delete(key);
  }
}
