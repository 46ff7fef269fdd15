// What the page knows: the state document, kept current by the stream, and the questions the views ask of it.

import * as api from "./api.js";

const listeners = new Set();
const threadIndex = new Map();
const READ = "workspace-read";
const EMPTY = {
  team: {},
  me: null,
  users: {},
  usergroups: {},
  channels: [],
  app: {},
  messages: {},
  ephemerals: [],
  views: [],
  home: null,
  files: {},
  statuses: {},
};

export const store = { ...structuredClone(EMPTY), connected: false, version: 0 };

let stop = null;
let scheduled = false;

export const subscribe = (listener) => listeners.add(listener);

/** Tells every view once, after the changes of this turn. */
export function changed() {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    for (const listener of listeners) listener();
  });
}

/** Becomes `user`: their channels, ephemerals, dialogs and home; resolves when the first state is there. */
export function become(user) {
  stop?.();
  return new Promise((resolve) => {
    let waiting = null;
    const refresh = async () => {
      const arrived = (waiting = []);
      const state = await api.fetchState(user);
      if (arrived !== waiting) return; // a newer connection has asked again
      waiting = null;
      if (state.ok === false) return resolve(state);
      Object.assign(store, structuredClone(EMPTY), state, { connected: true });
      store.version += 1;
      threadIndex.clear();
      for (const { id } of store.channels) if (!lastRead(id)) markRead(id); // what was there before the first visit is not news
      arrived.forEach(apply);
      changed();
      resolve({ ok: true });
    };
    const onChange = (change) => {
      if (waiting) return waiting.push(change);
      apply(change);
      changed();
    };
    const onLost = () => {
      store.connected = false;
      changed();
      resolve({ ok: false, error: "The workspace cannot be reached. Trying again…" });
    };
    stop = api.follow(user, refresh, onChange, onLost);
  });
}

const put = (list, item, same) => {
  const at = list.findIndex(same);
  if (at < 0) list.push(item);
  else list[at] = item;
};

const APPLY = {
  message: ({ channel, message }) => put((store.messages[channel] ??= []), message, (m) => m.ts === message.ts),
  message_deleted: ({ channel, ts, message, deleted_ts }) => {
    const gone = ts ?? deleted_ts ?? message?.ts;
    store.messages[channel] = (store.messages[channel] ?? []).filter((m) => m.ts !== gone);
  },
  ephemeral: (change) => {
    const message = change.message ?? change.ephemeral;
    const ephemeral = { ...message, channel: message.channel ?? change.channel, is_ephemeral: true };
    if (change.deleted || message.deleted) store.ephemerals = store.ephemerals.filter((m) => m.ts !== message.ts);
    else put(store.ephemerals, ephemeral, (m) => m.ts === ephemeral.ts);
  },
  view: ({ view }) => put(store.views, view, (v) => v.id === view.id),
  view_closed: ({ view_id, view }) => {
    store.views = store.views.filter((v) => v.id !== (view_id ?? view?.id));
  },
  home: ({ view, home }) => {
    store.home = view ?? home;
  },
  status: ({ channel, thread_ts, status, loading_messages }) => {
    store.statuses[`${channel}:${thread_ts}`] = { status, loading_messages };
  },
  channel: ({ channel }) => put(store.channels, channel, (c) => c.id === channel.id),
  user: ({ user }) => {
    store.users[user.id] = user;
    store.version += 1;
  },
  file: ({ file }) => {
    store.files[file.id] = file;
    store.version += 1;
  },
};
APPLY.message_changed = APPLY.message;

function apply(change) {
  threadIndex.clear();
  APPLY[change.type]?.(change);
}

export const compareTs = (a, b) => {
  const [as, af = "0"] = String(a).split(".");
  const [bs, bf = "0"] = String(b).split(".");
  return Number(as) - Number(bs) || Number(af) - Number(bf);
};
const byTs = (a, b) => compareTs(a.ts, b.ts);

const isReply = (m) => m.thread_ts && m.thread_ts !== m.ts;

/** Messages of the channel itself, oldest first, with a tombstone where the parent of a thread is gone. */
export function roots(channel) {
  const all = store.messages[channel] ?? [];
  const list = all.filter((m) => !isReply(m) || m.subtype === "thread_broadcast");
  const known = new Set(all.map((m) => m.ts));
  for (const ts of threads(channel).keys()) if (!known.has(ts)) list.push(tombstone(ts));
  const own = store.ephemerals.filter((m) => m.channel === channel && !m.thread_ts);
  return [...list, ...own].sort(byTs);
}

const tombstones = new Map();
function tombstone(ts) {
  if (!tombstones.has(ts))
    tombstones.set(ts, { ts, thread_ts: ts, subtype: "tombstone", text: "This message was deleted." });
  return tombstones.get(ts);
}

export const parent = (channel, ts) => (store.messages[channel] ?? []).find((m) => m.ts === ts) ?? tombstone(ts);

// Threads of a channel, by the parent's ts: made once per change, because every row asks for its own.
function threads(channel) {
  if (!threadIndex.has(channel)) {
    const index = new Map();
    for (const m of (store.messages[channel] ?? []).filter(isReply)) {
      if (!index.has(m.thread_ts)) index.set(m.thread_ts, []);
      index.get(m.thread_ts).push(m);
    }
    threadIndex.set(channel, index);
  }
  return threadIndex.get(channel);
}

/** Replies of one thread, oldest first; with what only this person sees when `all`. */
export function replies(channel, ts, all = true) {
  const list = threads(channel).get(ts) ?? [];
  const own = all ? store.ephemerals.filter((m) => m.channel === channel && m.thread_ts === ts) : [];
  return [...list, ...own].sort(byTs);
}

export const channelOf = (id) => store.channels.find((c) => c.id === id);
export const me = () => store.users[store.me] ?? { id: store.me, name: "?", real_name: "?", role: "member" };
export const displayName = (user) => user?.real_name || user?.name || user?.id || "Somebody";

/** Who wrote a message: a person, the app, or another bot known only by its profile. */
export function author(message) {
  const app = message.bot_id && message.bot_id === store.app.bot_id ? store.users[store.app.user_id] : null;
  const user =
    store.users[message.user] ?? app ?? Object.values(store.users).find((u) => u.bot_id && u.bot_id === message.bot_id);
  const name = message.username ?? message.bot_profile?.name;
  if (user)
    return { ...user, real_name: name ?? displayName(user), isBot: user.role === "bot" || Boolean(message.bot_id) };
  return {
    id: message.user ?? message.bot_id ?? "",
    real_name: name ?? "Somebody",
    role: "bot",
    isBot: Boolean(message.bot_id),
    color: "7c3aed",
  };
}

/** May this person look into the channel? Full members may preview any; others see what they are in. */
export const isOpenTo = (channel) => Boolean(channel) && (channel.is_member !== false || me().role === "member");

/** Channels for the sidebar: those this person is in. */
export const joined = () => store.channels.filter((c) => !c.is_im && c.is_member !== false);

/** Direct channel with the app, where the workspace has one. */
export const directChannel = () => store.channels.find((c) => c.is_im && (!c.user || c.user === store.app.user_id));

const readKey = (channel) => `${READ}:${store.team.id}:${store.me}:${channel}`;
export const lastRead = (channel) => localStorage.getItem(readKey(channel));

export function markRead(channel) {
  const last = roots(channel).at(-1)?.ts ?? "0";
  if (last !== lastRead(channel)) localStorage.setItem(readKey(channel), last);
}

/** How many messages of others came since this person last looked. */
export function unread(channel) {
  const since = lastRead(channel);
  return roots(channel).filter(
    (m) =>
      m.user !== store.me && !m.is_ephemeral && m.subtype !== "tombstone" && (!since || compareTs(m.ts, since) > 0),
  ).length;
}
