// Loads panels and parts of pages, refreshes parts that are marked as live, and copies links. Nothing here is needed to read.

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("fragment", { createHTML: (html) => html })
  : { createHTML: (html) => html };

// The one place where HTML enters the page: only answers of this server that are marked as fragments are taken.
export async function fragment(address, options = {}) {
  const url = new URL(address, location.href);
  if (url.origin !== location.origin || !url.pathname.startsWith("/console/")) throw new Error("a foreign address");
  const headers = { ...(options.headers || {}), "X-Gavel-Fragment": "1" };
  const answer = await fetch(url, { ...options, headers, credentials: "same-origin", redirect: "error" });
  if (answer.status === 304) return { status: 304, nodes: null, tag: null };
  const text = await answer.text();
  if (answer.headers.get("X-Gavel-Fragment") !== "1") return { status: answer.status, nodes: null, text, tag: null };
  const holder = document.createElement("template");
  holder.innerHTML = policy.createHTML(text);
  return { status: answer.status, nodes: holder.content, tag: answer.headers.get("ETag") };
}

export function announce(text) {
  const place = document.querySelector("[data-announce]");
  if (place) place.textContent = text;
}

function problem(text, again) {
  const box = document.createElement("div");
  box.className = "state state-error";
  box.setAttribute("role", "alert");
  const said = document.createElement("p");
  said.textContent = text;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.addEventListener("click", again);
  box.append(said, button);
  return box;
}

// A panel that shows something already keeps it beside what went wrong.
function put(panel, nodes) {
  if (!("keep" in panel.dataset)) { panel.replaceChildren(nodes); return; }
  panel.querySelector("[data-standing]")?.remove();
  const box = document.createElement("div");
  box.dataset.standing = "";
  box.append(nodes);
  panel.append(box);
}

const DEADLINE_MS = 3000;

// A part has three seconds, or as many as it names because it reads a whole topic.
async function fill(panel) {
  panel.setAttribute("aria-busy", "true");
  try {
    const found = await fragment(panel.dataset.src, { signal: AbortSignal.timeout(Number(panel.dataset.deadline) || DEADLINE_MS) });
    if (found.nodes && found.status < 400) panel.replaceChildren(found.nodes);
    else put(panel, found.nodes || problem(found.text || "Nothing came.", () => fill(panel)));
  } catch {
    put(panel, problem("This part did not come in time.", () => fill(panel)));
  }
  panel.removeAttribute("aria-busy");
  prepare(panel);
}

function prepare(root) {
  for (const panel of root.querySelectorAll("section[data-src]")) if (!panel.dataset.begun) { panel.dataset.begun = "1"; fill(panel); }
  for (const link of root.querySelectorAll("a[data-retry]")) {
    link.addEventListener("click", (event) => {
      const panel = link.closest("section[data-src]");
      if (panel) { event.preventDefault(); fill(panel); }
    });
  }
  for (const link of root.querySelectorAll("a[data-more]")) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const found = await fragment(link.href).catch(() => ({}));
      if (!found.nodes || found.status >= 400) { location.assign(link.href); return; }
      const part = found.nodes.firstElementChild;
      link.closest("[data-more-place]").replaceWith(found.nodes);
      prepare(part);
      part.focus();
    }, { once: true });
  }
  for (const form of root.querySelectorAll("form[data-panel-form]")) {
    form.addEventListener("submit", (event) => {
      const panel = form.closest("section[data-src]");
      if (!panel) return;
      event.preventDefault();
      const address = new URL(form.dataset.panelForm, location.href);
      for (const [name, value] of new FormData(form)) address.searchParams.set(name, value);
      panel.dataset.src = address.pathname + address.search;
      fill(panel);
    });
  }
  for (const all of root.querySelectorAll("input[data-check-all]")) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of document.querySelectorAll(`input[name="${all.dataset.checkAll}"]`)) box.checked = all.checked;
    });
  }
}

const REFRESH_MS = 10000;

function clock() {
  const now = new Date();
  const style = { timeStyle: "medium", timeZone: document.documentElement.dataset.readerZone || "UTC" };
  try { return new Intl.DateTimeFormat("en-GB", style).format(now); } catch { return now.toISOString(); }
}

function words(node) { return node.textContent.replace(/\s+/g, " ").trim(); }

function signIn() {
  const link = document.createElement("a");
  link.href = `/console/sign-in/?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in";
  return link;
}

// Parts that are marked as live are asked for again every ten seconds while the page is seen and not paused.
// Nobody has asked for these answers, so they do not keep the session open.
function refresh(live) {
  let tag = null;
  let waiting = null; // an answer that comes into the page when the focus has left the part
  let paused = false;
  let since = clock();
  const notice = document.createElement("p");
  notice.className = "stale";
  notice.dataset.notice = "";
  notice.hidden = true;
  live.before(notice);

  function say(text, ...more) {
    const told = notice.hidden ? "" : notice.dataset.notice;
    notice.replaceChildren(text, ...more);
    notice.hidden = false;
    notice.dataset.notice = text;
    if (told !== text) announce(text);
  }

  function late(why) { say(`Not refreshed since ${since}, because ${why}.`); }

  // The reader may not see the part any more.
  function end(text, ...more) {
    clearInterval(timer);
    waiting = null;
    live.replaceChildren();
    say(text, ...more);
  }

  function take(found) {
    if (found.status === 401) { end("Your session is over. ", signIn()); return; }
    if (found.status === 403 || found.status === 404) { end("Your key does not open this page any more. ", signIn()); return; }
    if (found.status !== 304 && !(found.nodes && found.status === 200)) { late(`the answer was ${found.status}`); return; }
    if (found.nodes) waiting = { ...found, at: clock() };
    if (waiting && live.contains(document.activeElement) && words(waiting.nodes) !== words(live)) {
      late("the focus is in it, and it is refreshed when the focus leaves");
      return;
    }
    place();
  }

  function place() {
    since = waiting ? waiting.at : clock();
    if (!notice.hidden) { notice.hidden = true; announce("Refreshed again."); }
    if (!waiting || live.contains(document.activeElement)) return;
    live.replaceChildren(waiting.nodes);
    tag = waiting.tag;
    waiting = null;
    prepare(live);
  }

  // The focus stays in the part when the reader only goes to another window.
  live.addEventListener("focusout", (event) => {
    if (waiting && !live.contains(event.relatedTarget) && !live.contains(document.activeElement)) place();
  });
  const button = document.querySelector("[data-pause]");
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.textContent = paused ? "Resume the refresh" : "Pause the refresh";
      button.setAttribute("aria-pressed", String(paused));
    });
  }
  const timer = setInterval(async () => {
    if (paused || document.hidden) return;
    const headers = { "X-Gavel-Live": "1", ...(tag ? { "If-None-Match": tag } : {}) };
    let found;
    try {
      found = await fragment(live.dataset.live, { headers, signal: AbortSignal.timeout(REFRESH_MS) });
    } catch { late("the server did not answer"); return; }
    take(found);
  }, REFRESH_MS);
}

// A second press before the answer would do the same once more, such as to start another run that costs money.
function sendOnce() {
  let sent = new WeakSet();
  window.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return; // scripts answer for what they send themselves
    if (!sent.has(form)) { sent.add(form); return; }
    event.preventDefault();
    if (form.querySelector("[data-sent]")) return;
    const note = document.createElement("p");
    note.className = "stale";
    note.dataset.sent = "";
    note.textContent = "This was sent already, and the answer is on its way. Reload the page to send it again.";
    form.append(note);
    announce(note.textContent);
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) sent = new WeakSet(); }); // the reader came back
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
for (const field of document.querySelectorAll("[data-browser-zone]")) field.value = zone;
const zoneField = document.querySelector("[data-zone]");
if (zoneField && Intl.supportedValuesOf) {
  const list = document.createElement("datalist");
  list.id = "zones";
  for (const name of ["UTC", ...Intl.supportedValuesOf("timeZone")]) { const option = document.createElement("option"); option.value = name; list.append(option); }
  zoneField.after(list);
  zoneField.setAttribute("list", "zones");
}

// The notice of a change is read once: a reload, a bookmark or a copied link would tell it again.
const told = new URL(location.href);
for (const name of ["done", "refused"]) told.searchParams.delete(name);
if (told.href !== location.href) history.replaceState(history.state, "", told);

const copy = document.querySelector("[data-copy-link]");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const url = new URL(location.href);
    const times = document.querySelector("[data-from]");
    if (times) {
      url.searchParams.delete("range");
      url.searchParams.set("from", times.dataset.from);
      url.searchParams.set("to", times.dataset.to);
    }
    url.searchParams.set("tz", document.documentElement.dataset.readerZone || "UTC");
    await navigator.clipboard.writeText(url.href);
    document.querySelector("[data-copied]").textContent = "Copied.";
  });
}

window.addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("main details")) each.open = true; });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const each of document.querySelectorAll("details.drop[open]")) each.open = false;
});
for (const live of document.querySelectorAll("[data-live]")) refresh(live);
sendOnce();
prepare(document);
