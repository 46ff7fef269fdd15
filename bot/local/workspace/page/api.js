// The wire: one token, one state document, one stream of changes, and the things a person can do.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;

const token = document.querySelector('meta[name="workspace-token"]').content;

async function call(path, body) {
  let response;
  try {
    response = await fetch(`/_workspace/${path}`, {
      method: body ? "POST" : "GET",
      headers: { "X-Workspace-Token": token, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
    });
  } catch {
    return { ok: false, error: "The workspace cannot be reached. It may have been stopped." };
  }
  const answer = await response.json().catch(() => null);
  if (answer && typeof answer === "object")
    return response.ok || "ok" in answer ? answer : { ok: false, error: `The workspace answered ${response.status}.` };
  return { ok: false, error: `The workspace answered ${response.status}.` };
}

export const fetchState = (user) => call(`state${user ? `?user=${encodeURIComponent(user)}` : ""}`);

export const say = (body) => call("say", body);
export const click = (body) => call("click", body);
export const submit = (body) => call("submit", body);
export const close = (body) => call("close", body);
export const command = (body) => call("command", body);
export const shortcut = (body) => call("shortcut", body);
export const openHome = (body) => call("home", body);

/** The address of a stored file. Only this workspace's own addresses get the token. */
export function fileUrl(address) {
  const url = new URL(address, location.href);
  if (url.origin !== location.origin) return url.href;
  url.searchParams.set("token", token);
  return url.href;
}

/**
 * Follows the changes one person can see. `onOpen` runs at each (re)connection, before any later change.
 * A lost stream is opened again; a workspace that was started anew has another token, so the page loads itself again.
 */
export function follow(user, onOpen, onChange, onLost) {
  let source = null;
  let stopped = false;
  let wait = FIRST_WAIT_MS;
  const open = () => {
    if (stopped) return;
    source = new EventSource(`/_workspace/stream?user=${encodeURIComponent(user)}&token=${encodeURIComponent(token)}`);
    source.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      onOpen();
    });
    source.addEventListener("change", (event) => onChange(JSON.parse(event.data)));
    source.addEventListener("error", lost);
  };
  const lost = async () => {
    source.close();
    onLost();
    await new Promise((resolve) => {
      setTimeout(resolve, wait);
    });
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    if (!stopped && (await isStranger())) location.reload();
    else open();
  };
  open();
  return () => {
    stopped = true;
    source.close();
  };
}

const isStranger = () =>
  fetch("/_workspace/state", { headers: { "X-Workspace-Token": token } }).then(
    (response) => response.status === 403,
    () => false,
  );
