// The editor: line numbers, a coloured layer behind the code, compile errors in place, and a draft that survives a reload.

const form = document.querySelector("form[data-editor]");
const area = document.getElementById("code");
const box = document.querySelector("[data-code-box]");
const paint = box.querySelector(".paint");
const lines = box.querySelector(".lines");
const list = document.querySelector("[data-problems]");
const kind = document.querySelector("[data-type]");
const token = form.querySelector("input[name=token]").value;
const KEYWORDS = new Set("let return if else while for in fun fn and or not true false null like ilike between try catch finally throw".split(" "));
const TOKENS = {
  hog: /(\/\/[^\n]*|--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(\b\d+(?:\.\d+)?\b)|([A-Za-z_]\w*)/g,
  yaml: /((?<=^|\s)#[^\n]*)|('[^'\n]*'|"(?:[^"\\\n]|\\.)*")|(\b\d+(?:\.\d+)?\b)|([A-Za-z_]\w*(?=:\s))/gm,
};
const FINE = { hog: "The code compiles.", yaml: "It is a whole definition." };
const NOT_CHECKED = {
  long: "This is too long to be checked while you type. Check it with the button.",
  over: "Your session is over. Reload the page to sign in. What you typed is kept in this browser.",
  away: "This could not be checked, because the server did not answer. The next change is checked again.",
};
const LARGEST = 50000;
let problems = [];
let unchecked = ""; // why nothing is known about the text
let asked = 0;

function piece(text, name) {
  const span = document.createElement("span");
  if (name) span.className = name;
  span.textContent = text;
  return span;
}

function coloured(text) {
  const found = [];
  let last = 0;
  // Criteria are prose, in which "if" and "and" are plain words.
  for (const match of kind.value in TOKENS ? text.matchAll(TOKENS[kind.value]) : []) {
    const name = match[1] ? "c" : match[2] ? "s" : match[3] ? "n" : kind.value === "yaml" || KEYWORDS.has(match[4]) ? "k" : "";
    if (!name) continue;
    found.push([match.index, match.index + match[0].length, name]);
  }
  const marked = problems.filter((each) => each.line).map((each) => {
    // An error at the end of the text is marked at its last character.
    const start = Math.min(offset(text, each.line, each.column || 1), Math.max(0, text.trimEnd().length - 1));
    const word = /^\w+|^./.exec(text.slice(start, start + 80));
    return [start, start + (word ? word[0].length : 1)];
  });
  const nodes = [];
  const put = (start, end, name) => {
    let at = start;
    for (const [from, to] of marked) {
      if (to <= at || from >= end) continue;
      if (from > at) nodes.push(piece(text.slice(at, from), name));
      nodes.push(piece(text.slice(Math.max(at, from), Math.min(to, end)) || " ", `${name} err`));
      at = Math.min(to, end);
    }
    if (at < end) nodes.push(piece(text.slice(at, end), name));
  };
  for (const [start, end, name] of found) {
    if (start > last) put(last, start, "");
    put(start, end, name);
    last = end;
  }
  put(last, text.length, "");
  nodes.push(document.createTextNode("\n "));
  return nodes;
}

function offset(text, line, column) {
  let at = 0;
  for (let number = 1; number < line; number += 1) {
    const next = text.indexOf("\n", at);
    if (next < 0) return text.length;
    at = next + 1;
  }
  return Math.min(text.length, at + column - 1);
}

function draw() {
  const text = area.value;
  const live = text.length <= LARGEST;
  box.classList.toggle("live", live);
  box.classList.toggle("numbered", kind.value in TOKENS);
  paint.replaceChildren(...(live ? coloured(text) : []));
  lines.textContent = Array.from({ length: text.split("\n").length }, (_, place) => place + 1).join("\n");
  area.rows = Math.max(14, Math.min(40, text.split("\n").length + 1));
}

function tell() {
  list.replaceChildren();
  area.toggleAttribute("aria-invalid", problems.length > 0);
  if (unchecked) { list.append(piece(unchecked, "muted small")); return; }
  if (!problems.length) {
    if (kind.value in FINE && area.value.trim()) list.append(piece(FINE[kind.value], "muted small"));
    return;
  }
  for (const each of problems) {
    const line = document.createElement("p");
    line.className = "problem";
    const link = document.createElement("a");
    link.href = "#code";
    link.dataset.line = each.line || 1;
    link.dataset.column = each.column || 1;
    link.textContent = `line ${each.line || 1}, column ${each.column || 1}`;
    line.append(link, `: ${each.message}`);
    list.append(line);
  }
}

async function answerOf(body) {
  try {
    const headers = { "X-Gavel-Fragment": "1" }; // a session that is over answers with 401 and does not lead elsewhere
    const answer = await fetch(form.dataset.check, { method: "POST", body, headers, credentials: "same-origin", redirect: "error" });
    if (!answer.ok) return { why: answer.status === 401 ? "over" : "away" };
    const found = (await answer.json()).problems;
    return found ? { found } : { why: "long" };
  } catch { return { why: "away" }; }
}

async function check() {
  asked += 1;
  const mine = asked;
  const body = new URLSearchParams({ token, code: area.value, as: kind.value });
  const { found = [], why = "" } = kind.value in TOKENS ? await answerOf(body) : {};
  if (mine !== asked) return; // the text has changed, and a later answer is about it
  problems = found;
  unchecked = NOT_CHECKED[why] || "";
  tell();
  draw();
}

let timer = 0;
function later() {
  asked += 1;
  draw();
  clearTimeout(timer);
  timer = setTimeout(check, 300);
}

// A draft is the whole form as it would be sent, with the version that it was made from. It goes when it is saved.
const place = `gavel-draft-${location.pathname}`;
const SENT = "gavel-draft-sent";
const NEVER_KEPT = ["token", "once", "action"];
const notice = form.querySelector("[data-draft]");

function entries() {
  return [...new FormData(form)].filter(([name]) => !NEVER_KEPT.includes(name));
}

function keep() {
  try { sessionStorage.setItem(place, JSON.stringify(entries())); } catch { /* a full store keeps no draft */ }
}

function forget(which) {
  try { sessionStorage.removeItem(which); } catch { /* nothing was kept */ }
}

function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(place));
    return Array.isArray(found) ? new Map(found) : null;
  } catch { return null; }
}

function forgetWhatWasSaved() {
  let sent = null;
  try { sent = sessionStorage.getItem(SENT); } catch { /* no store */ }
  if (sent && "saved" in form.dataset) forget(sent);
  forget(SENT);
}

function restore() {
  const draft = kept();
  if (!draft || JSON.stringify([...draft]) === JSON.stringify(entries())) return;
  const fields = [...form.elements].filter((each) => each.name && !NEVER_KEPT.includes(each.name));
  const isBox = (each) => each.type === "checkbox";
  const here = new Set(fields.map((each) => each.name));
  const fits = draft.get("tag") === form.elements.tag.value && [...draft.keys()].every((name) => here.has(name))
    && fields.every((each) => isBox(each) || draft.has(each.name));
  if (!fits) {
    notice.hidden = false;
    notice.querySelector("[data-restore]").addEventListener("click", () => send(draft));
    notice.querySelector("[data-discard]").addEventListener("click", () => { forget(place); notice.hidden = true; });
    return;
  }
  for (const each of fields) {
    if (isBox(each)) each.checked = draft.has(each.name);
    else each.value = draft.get(each.name);
  }
}

// The server makes the rows of a draft that this page has not, as it does after "Check".
function send(draft) {
  const sent = document.createElement("form");
  sent.method = "post";
  for (const [name, value] of [...draft, ["token", token], ["action", "check"]]) {
    const field = document.createElement("textarea");
    field.name = name;
    field.value = value;
    sent.append(field);
  }
  sent.hidden = true;
  document.body.append(sent);
  sent.submit();
}

area.addEventListener("input", later);
form.addEventListener("input", keep);
form.addEventListener("change", keep);
area.addEventListener("scroll", () => {
  lines.scrollTop = paint.scrollTop = area.scrollTop;
  paint.scrollLeft = area.scrollLeft;
});
area.addEventListener("keydown", (event) => {
  if (!event.ctrlKey || (event.key !== "]" && event.key !== "[")) return;
  event.preventDefault();
  const start = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
  const end = area.selectionEnd;
  const block = area.value.slice(start, end);
  const moved = event.key === "]" ? block.replace(/^/gm, "  ") : block.replace(/^ {1,2}/gm, "");
  area.setRangeText(moved, start, end, "select");
  later();
  keep();
});
kind.addEventListener("change", () => { draw(); check(); });
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-line]");
  if (!link) return;
  event.preventDefault();
  const at = offset(area.value, Number(link.dataset.line), Number(link.dataset.column));
  area.focus();
  area.setSelectionRange(at, at);
});
document.querySelector("a[data-forget]")?.addEventListener("click", () => forget(place));
form.addEventListener("submit", () => { try { sessionStorage.setItem(SENT, place); } catch { /* no draft either */ } });

for (const field of form.querySelectorAll("[data-value]")) {
  field.addEventListener("focus", async () => {
    const key = field.closest(".filter-row").querySelector("[data-key]").value;
    if (!key) return;
    try {
      const answer = await fetch(`${form.dataset.suggest}?name=${encodeURIComponent(key)}`, { credentials: "same-origin" });
      if (!answer.ok) return;
      const found = document.getElementById("values");
      found.replaceChildren(...(await answer.json()).values.map((value) => { const option = document.createElement("option"); option.value = value; return option; }));
      field.setAttribute("list", "values");
    } catch { /* without suggestions */ }
  });
}

forgetWhatWasSaved();
if ("stored" in form.dataset) restore();
else keep();
check();
const result = document.querySelector("[data-result]");
if (result) result.focus();
