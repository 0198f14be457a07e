// Labelling with single keys: the next item is fetched ahead, and a label shows as saved at once and is undone if it is refused.
// The name of the other module holds a hash, so it is taken from the page.
const { announce, fragment } = await import(document.querySelector("script[type=module]").src);

const place = document.querySelector("[data-label-place]");
const keysBox = document.querySelector("[data-keys]");
const NAMES = [...keysBox.querySelectorAll("[data-key]")];
const STORE = "gavel-label-keys";
let shownAt = performance.now();
let ahead = null;
let leaving = false;
let total = 0;
let seconds = 0;

function settings() {
  try { return JSON.parse(localStorage.getItem(STORE)) || {}; } catch { return {}; }
}
function keep() {
  const chosen = { on: keysBox.querySelector("[data-keys-on]").checked, keys: {} };
  for (const each of NAMES) chosen.keys[each.dataset.key] = each.value;
  localStorage.setItem(STORE, JSON.stringify(chosen));
}
function restore() {
  const known = settings();
  if (known.on === false) keysBox.querySelector("[data-keys-on]").checked = false;
  for (const each of NAMES) if (known.keys && typeof known.keys[each.dataset.key] === "string") each.value = known.keys[each.dataset.key].slice(0, 1);
  keysBox.hidden = false;
  keysBox.addEventListener("change", keep);
}

const item = () => place.querySelector("[data-item]");
const form = () => place.querySelector("[data-label-form]");
const post = (address, fields) => fragment(address, { method: "POST", body: fields });

async function fetchNext() {
  const found = await post(place.dataset.next, new URLSearchParams({ token: place.dataset.token }));
  if (!found.nodes || found.status !== 200) throw new Error(found.text || "The next item did not come.");
  return found.nodes;
}
function fetchAhead() {
  const now = item()?.dataset.item;
  // An item that is in hand already comes again when nothing else is left.
  ahead = fetchNext().then((nodes) => (nodes.querySelector(`[data-item="${now}"]`) ? null : nodes)).catch(() => null);
}

function show(nodes, { back } = {}) {
  place.replaceChildren(nodes);
  shownAt = performance.now();
  const found = item();
  if (!found) { announce("Nothing is left in this queue."); document.getElementById("main").focus(); return; }
  if (back) addBack(back);
  const left = found.querySelector("[data-remaining]");
  if (total) found.querySelector("[data-pace]").textContent = `, ${Math.round(seconds / total)} s per item so far`;
  history.replaceState(null, "", found.dataset.address);
  window.scrollTo(0, 0);
  document.getElementById("main").focus();
  announce(`Next item. ${left.textContent}.`);
}

function addBack(address) {
  const actions = form().querySelector(".actions");
  if (actions.querySelector("[data-back]")) return;
  const link = document.createElement("a");
  link.className = "button";
  link.dataset.back = "";
  link.href = address;
  link.append("Back ");
  const key = document.createElement("kbd");
  key.textContent = "←";
  link.append(key);
  actions.append(link);
}

function refuse(text) {
  const box = form()?.querySelector("[data-refused]");
  if (!box) return;
  box.textContent = text;
  box.hidden = false;
}

function said(got) {
  return (got.nodes ? got.nodes.textContent : got.text || "It was refused.").replace(/\s+/g, " ").trim();
}

// Looks at the answer of the server after the page went on, and brings the item back if the label was refused.
async function settle(answer, old, address) {
  const got = await answer;
  if (got.status === 200 && got.nodes) {
    const revealed = got.nodes.querySelector("[data-revealed]");
    if (revealed) place.prepend(revealed);
    return;
  }
  const later = document.createDocumentFragment();
  later.append(...place.childNodes);
  ahead = Promise.resolve(later);
  place.replaceChildren(...old);
  history.replaceState(null, "", address);
  refuse(said(got));
}

async function send(action) {
  if (leaving) return;
  const sent = form();
  if (action === "save" && !new FormData(sent).getAll("verdict").some((each) => each !== "")) { refuse("Choose an answer first."); return; }
  if (action === "save" && !sent.reportValidity()) return;
  leaving = true;
  const old = [...place.childNodes];
  const address = item().dataset.address;
  const spent = Math.round((performance.now() - shownAt) / 1000);
  const fields = new URLSearchParams(new FormData(sent));
  fields.set("seconds", String(spent));
  fields.set("action", action);
  // `sent.action` would be the button of that name.
  const answer = post(sent.getAttribute("action"), fields).catch(() => ({ status: 0, nodes: null, text: "The server did not answer; your label is not saved." }));
  if (action === "save") { total += 1; seconds += spent; }
  const next = await ahead;
  if (next) {
    show(next, { back: address });
    fetchAhead();
    settle(answer, old, address);
  } else {
    const got = await answer;
    const revealed = got.nodes?.querySelector("[data-revealed]");
    try {
      if (got.status !== 200 || !got.nodes) throw new Error(said(got));
      show(await fetchNext(), { back: address });
      if (revealed) place.prepend(revealed);
      if (item()) fetchAhead();
    } catch (error) { refuse(error.message); }
  }
  leaving = false;
}

function choose(name) {
  const input = form()?.querySelector(`[data-choice="${name}"]`);
  if (input) { input.checked = input.type === "checkbox" ? !input.checked : true; announce(input.closest("label").innerText); }
}
const ACTIONS = {
  pass: () => choose("pass"),
  fail: () => choose("fail"),
  na: () => choose("na"),
  unsure: () => choose("unsure"),
  comment: () => form()?.querySelector("textarea").focus(),
  skip: () => form() && send("skip"),
  help: () => { keysBox.open = !keysBox.open; if (keysBox.open) keysBox.querySelector("summary").focus(); },
};

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-label-form]")) return;
  event.preventDefault();
  send(event.submitter?.value === "skip" ? "skip" : "save");
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = document.activeElement;
  if (at && event.key === "Escape" && at.matches("textarea")) { document.getElementById("main").focus(); return; }
  if (at?.matches("textarea, select, input:not([type=radio], [type=checkbox])") || !keysBox.querySelector("[data-keys-on]").checked || !form()) return;
  const digit = /^[1-9]$/.test(event.key) ? form().querySelector(`[data-digit="${event.key}"]`) : null;
  if (digit) { digit.checked = digit.type === "checkbox" ? !digit.checked : true; announce(digit.closest("label").innerText); event.preventDefault(); return; }
  if (event.key === "Enter" && !at?.matches("a, button, summary")) { event.preventDefault(); send("save"); return; }
  if (event.key === "ArrowLeft" && !at?.matches("input")) { const back = place.querySelector("[data-back]"); if (back) { event.preventDefault(); location.assign(back.href); } return; }
  const name = NAMES.find((each) => each.value && each.value === event.key);
  if (name) { event.preventDefault(); ACTIONS[name.dataset.key](); }
});

restore();
if (item()) fetchAhead();
