// The question: text, pictures (chosen, dropped, pasted, from the camera or the dishes), send and stop.
const root = element.querySelector(".ivl-composer");
let waiting = [];   // {data} or {dish}, with a uri to show
let sent = null;    // what was sent last, until an answer has begun
let number = 0;
let isBusy = false;

const file = make("input", { type: "file", accept: "image/*,video/*", multiple: true, class: "ivl-hidden", tabindex: "-1", onchange: async () => { await add([...file.files]); file.value = ""; } });
const area = make("textarea", { rows: "1", id: "ivl-question" });
const strip = make("ul", { class: "ivl-waiting" });
const examples = make("div", { class: "ivl-examples", role: "group" });
const hint = make("p", { class: "ivl-hint" });
const problem = make("p", { class: "ivl-error", role: "alert", hidden: true });
const status = make("p", { class: "ivl-hidden", role: "status" });
const left = make("div", { class: "ivl-row" });
const right = make("div", { class: "ivl-row" });
const form = make("form", { class: "ivl-form", onsubmit: (event) => { event.preventDefault(); send(); } }, strip, area, make("div", { class: "ivl-bar" }, left, right));
root.append(examples, problem, form, hint, status, file);
const tell = (text) => { problem.textContent = text; problem.hidden = !text; };
const grow = () => { area.style.height = "auto"; area.style.height = `${Math.min(area.scrollHeight, 220)}px`; };
const megabytes = (bytes) => Math.floor(bytes / 2 ** 20);

async function add(files) {
  tell("");
  for (const each of files) {
    const isVideo = each.type.startsWith("video/");
    if (!isVideo && !each.type.startsWith("image/")) { tell(fill(props.words.no_picture, { name: each.name })); continue; }
    // A video has the whole body, of which base64 takes a quarter.
    const most = isVideo ? props.max_body * 0.73 : props.max_bytes;
    if (each.size > most) { tell(fill(props.words.too_large, { name: each.name, megabytes: megabytes(most) })); continue; }
    const data = await readFile(each);
    waiting.push(isVideo ? { data, film: each.name } : { data, uri: data });
  }
  draw();
  area.focus();
}
async function camera() {
  tell("");
  try {
    const data = await takePicture(props.words);
    if (data) waiting.push({ data, uri: data });
  } catch {
    tell(props.words.no_camera);
  }
  draw();
  area.focus();
}
function insertPlace() {
  area.setRangeText("<image>", area.selectionStart, area.selectionEnd, "end");
  grow();
  area.focus();
}
function send() {
  const text = area.value;
  if (isBusy || (!text.trim() && !waiting.length)) return;
  const size = waiting.reduce((sum, each) => sum + (each.data || "").length, text.length);
  if (size > props.max_body * 0.98) { tell(fill(props.words.too_much, { megabytes: megabytes(props.max_body * 0.73) })); return; }
  tell("");
  number += 1;
  sent = { text, waiting, number };
  trigger("submit", { do: "ask", number, text, pictures: waiting.map((each) => (each.dish ? { dish: each.dish } : { data: each.data })) });
  waiting = [];
  area.value = "";
  grow();
  isBusy = true;
  draw();
  const mine = sent;
  setTimeout(() => { if (sent === mine) { restore(); tell(props.words.not_sent); } }, 20_000);
}
// The question comes back when it could not be answered.
function restore() {
  if (sent && !area.value && !waiting.length) { area.value = sent.text; waiting = sent.waiting; }
  sent = null;
  isBusy = false;
  grow();
  draw();
}
document.addEventListener("ivl:view", (event) => {
  const { busy, taken, error } = event.detail;
  if (sent && error && !busy) { isBusy = false; restore(); return; }
  if (sent && taken === sent.number) { if (!busy) sent = null; }
  if (busy !== isBusy && !(sent && !busy && taken !== sent.number)) { isBusy = busy; draw(); if (!busy) area.focus({ preventScroll: true }); }
});
document.addEventListener("ivl:dish", (event) => {
  waiting.push(event.detail);
  draw();
  status.textContent = event.detail.said;
});
area.addEventListener("input", grow);
area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && isBusy && !document.querySelector("dialog[open]")) trigger("stop", {}); });
const isHere = () => root.offsetParent !== null;
document.addEventListener("paste", (event) => {
  const files = picturesOf(event.clipboardData);
  if (files.length && isHere() && !event.defaultPrevented) { event.preventDefault(); add(files); }
});
document.addEventListener("dragover", (event) => {
  if (isHere() && [...(event.dataTransfer?.types || [])].includes("Files")) { event.preventDefault(); root.classList.add("ivl-over"); }
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("ivl-over"); });
document.addEventListener("drop", (event) => {
  root.classList.remove("ivl-over");
  const files = picturesOf(event.dataTransfer);
  if (files.length && isHere() && !event.defaultPrevented) { event.preventDefault(); add(files); }
});
function draw() {
  const words = props.words;
  form.setAttribute("aria-label", words.form);
  area.setAttribute("aria-label", words.form);
  area.setAttribute("placeholder", words.placeholder);
  file.setAttribute("aria-label", words.add);
  form.dataset.drop = words.drop;
  hint.textContent = words.hint;
  examples.setAttribute("aria-label", words.examples);
  examples.replaceChildren(...[1, 2, 3, 4].map((at) => make("button", {
    type: "button", class: "ivl-chip", onclick: () => { area.value = words[`example_${at}`]; grow(); area.focus(); },
  }, words[`example_${at}`])));
  strip.replaceChildren(...waiting.map((each, at) => {
    const label = fill(words.remove, { number: at + 1 });
    const shown = each.uri ? make("img", { src: each.uri, alt: each.name || "" })
      : make("span", { class: "ivl-film", title: each.film }, icon("film"), make("span", {}, each.film));
    return make("li", {}, shown, make("span", { class: "ivl-number", "aria-hidden": "true" }, String(at + 1)),
      iconButton("remove", label, () => { waiting.splice(at, 1); draw(); area.focus(); }));
  }));
  strip.hidden = !waiting.length;
  left.replaceChildren(
    iconButton("add", words.add, () => file.click()),
    iconButton("camera", words.camera, camera),
    ...(waiting.some((each) => each.uri) ? [iconButton("place", `${words.place} (<image>)`, insertPlace)] : []));
  right.replaceChildren(isBusy
    ? make("button", { type: "button", class: "ivl-send ivl-stop", "aria-label": words.stop, title: words.stop, onclick: () => trigger("stop", {}) }, icon("stop"))
    : make("button", { type: "submit", class: "ivl-send", "aria-label": words.send, title: words.send }, icon("send")));
}
watch("words", draw);
draw();
