// The code field: line numbers, a coloured layer behind it, compile errors in place, and a draft that survives a reload.

const form = document.querySelector("form[data-editor]");
const area = document.getElementById("code");
const box = document.querySelector("[data-code-box]");
const paint = box.querySelector(".paint");
const lines = box.querySelector(".lines");
const list = document.querySelector("[data-problems]");
const kind = document.querySelector("[data-type]");
const token = form.querySelector("input[name=token]").value;
const KEYWORDS = new Set("let return if else while for in fun fn and or not true false null like ilike between try catch finally throw".split(" "));
const TOKEN = /(\/\/[^\n]*|--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(\b\d+(?:\.\d+)?\b)|([A-Za-z_]\w*)/g;
const LARGEST = 50000;
let problems = [];

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
  for (const match of kind.value === "hog" ? text.matchAll(TOKEN) : []) {
    const name = match[1] ? "c" : match[2] ? "s" : match[3] ? "n" : KEYWORDS.has(match[4]) ? "k" : "";
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
  box.classList.toggle("numbered", kind.value === "hog");
  paint.replaceChildren(...(live ? coloured(text) : []));
  lines.textContent = Array.from({ length: text.split("\n").length }, (_, place) => place + 1).join("\n");
  area.rows = Math.max(14, Math.min(40, text.split("\n").length + 1));
}

function tell() {
  list.replaceChildren();
  area.toggleAttribute("aria-invalid", problems.length > 0);
  if (!problems.length) {
    if (kind.value === "hog" && area.value.trim()) list.append(piece("The code compiles.", "muted small"));
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

async function check() {
  problems = [];
  if (kind.value === "hog") {
    const body = new URLSearchParams({ token, code: area.value });
    try {
      const answer = await fetch(form.dataset.check, { method: "POST", body, credentials: "same-origin" });
      if (answer.ok) problems = (await answer.json()).problems;
    } catch { /* the next key asks again */ }
  }
  tell();
  draw();
}

let timer = 0;
function later() {
  draw();
  clearTimeout(timer);
  timer = setTimeout(check, 300);
  keep();
}

const place = `gavel-draft-${location.pathname}`;
function keep() {
  try { sessionStorage.setItem(place, area.value); } catch { /* a full store keeps no draft */ }
}

area.addEventListener("input", later);
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
form.addEventListener("submit", () => { try { sessionStorage.removeItem(place); } catch { /* nothing was kept */ } });

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

try {
  const kept = sessionStorage.getItem(place);
  if (kept !== null && kept !== area.value && !document.getElementById("problems") && !document.querySelector("[role=status].done")) area.value = kept;
} catch { /* no draft */ }
check();
const result = document.querySelector("[data-result]");
if (result) result.focus();
