// Pictures and videos: chosen, dropped, pasted or from the camera. The value is a list of their data URIs.
const root = element.querySelector(".ivl-field");
const films = new Map();  // a video's data URI -> the name of its file
const file = make("input", { type: "file", accept: "image/*,video/*", multiple: true, class: "ivl-hidden", tabindex: "-1", onchange: async () => { await add([...file.files]); file.value = ""; } });
const box = make("div", { class: "ivl-field-box", role: "group" });
const problem = make("p", { class: "ivl-error", role: "alert", hidden: true });
root.append(box, problem, file);
const tell = (text) => { problem.textContent = text; problem.hidden = !text; };
const held = () => props.value || [];
const megabytes = (bytes) => Math.floor(bytes / 2 ** 20);
// Of the body that the server reads, which base64 takes a quarter of.
const room = () => props.max_body * 0.73;
const isFilm = (data) => data.startsWith("data:video/");
function take(data) {
  const total = [...held(), data].reduce((sum, each) => sum + each.length, 0);
  if (held().length >= props.most) { tell(fill(props.words.too_many, { count: props.most })); return; }
  if (total > props.max_body * 0.97) { tell(fill(props.words.too_much, { megabytes: megabytes(room()) })); return; }
  props.value = [...held(), data];
}
async function add(files) {
  tell("");
  for (const each of files) {
    const isVideo = each.type.startsWith("video/");
    if (!isVideo && !each.type.startsWith("image/")) { tell(fill(props.words.no_picture, { name: each.name })); continue; }
    const most = isVideo ? room() : props.max_bytes;
    if (each.size > most) { tell(fill(props.words.too_large, { name: each.name, megabytes: megabytes(most) })); continue; }
    const data = await readFile(each);
    if (isVideo) films.set(data, each.name);
    take(data);
  }
  draw();
}
async function camera() {
  tell("");
  try {
    const data = await takePicture(props.words);
    if (data) take(data);
  } catch {
    tell(props.words.no_camera);
  }
  draw();
}
function remove(at) {
  props.value = held().filter((_, index) => index !== at);
  tell("");
  draw();
  box.querySelector(".ivl-field-choose").focus();
}
function shown(data, at) {
  const words = props.words, name = films.get(data) || words.video;
  const picture = isFilm(data) ? make("span", { class: "ivl-film", title: name }, icon("film"), make("span", {}, name))
    : make("img", { src: data, alt: words.label });
  return make("li", {}, picture, make("span", { class: "ivl-number", "aria-hidden": "true" }, String(at + 1)),
    iconButton("remove", fill(words.remove, { number: at + 1 }), () => remove(at)));
}
function draw() {
  const words = props.words;
  for (const data of films.keys()) if (!held().includes(data)) films.delete(data);
  file.setAttribute("aria-label", words.choose);
  box.setAttribute("aria-label", words.label);
  box.classList.toggle("ivl-filled", held().length > 0);
  const choose = make("button", { type: "button", class: "ivl-field-choose", onclick: () => file.click() }, make("span", {}, icon("add"), words.choose));
  box.replaceChildren(
    ...(held().length ? [make("ul", { class: "ivl-waiting" }, ...held().map(shown))] : []),
    make("div", { class: "ivl-field-bar" }, choose, iconButton("camera", words.camera, camera)));
}
const isHere = () => root.offsetParent !== null;
document.addEventListener("paste", (event) => {
  const files = picturesOf(event.clipboardData);
  if (files.length && isHere()) { event.preventDefault(); add(files); }
});
box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("ivl-over"); });
box.addEventListener("dragleave", () => box.classList.remove("ivl-over"));
box.addEventListener("drop", (event) => { event.preventDefault(); box.classList.remove("ivl-over"); add(picturesOf(event.dataTransfer)); });
watch(["value", "words"], draw);
draw();
