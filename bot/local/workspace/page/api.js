// The wire: one token, one state document, one stream of changes, and the things a person can do.

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
  if (answer && typeof answer === "object") return response.ok || "ok" in answer ? answer : { ok: false, error: `The workspace answered ${response.status}.` };
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

/** Follows the changes one person can see. `onOpen` runs at each (re)connection, before any later change. */
export function follow(user, onOpen, onChange, onLost) {
  const source = new EventSource(`/_workspace/stream?user=${encodeURIComponent(user)}&token=${encodeURIComponent(token)}`);
  source.addEventListener("open", onOpen);
  source.addEventListener("error", onLost);
  source.addEventListener("change", (event) => onChange(JSON.parse(event.data)));
  return () => source.close();
}
