// One picture: chosen, dropped, pasted or from the camera. The value is its data URI, or "".
const root = element.querySelector(".ivl-field");
const file = make("input", { type: "file", accept: "image/*", class: "ivl-hidden", tabindex: "-1", onchange: async () => { await take(file.files[0]); file.value = ""; } });
const box = make("div", { class: "ivl-field-box", role: "group" });
const problem = make("p", { class: "ivl-error", role: "alert", hidden: true });
root.append(box, problem, file);
const tell = (text) => { problem.textContent = text; problem.hidden = !text; };
async function take(each) {
  if (!each) return;
  const megabytes = Math.floor(props.max_bytes / 2 ** 20);
  if (!each.type.startsWith("image/")) { tell(fill(props.words.no_picture, { name: each.name })); return; }
  if (each.size > props.max_bytes) { tell(fill(props.words.too_large, { name: each.name, megabytes })); return; }
  tell("");
  props.value = await readFile(each);
  draw();
}
async function camera() {
  try {
    props.value = (await takePicture(props.words)) || props.value;
  } catch {
    tell(props.words.no_camera);
  }
  draw();
}
function draw() {
  const words = props.words;
  file.setAttribute("aria-label", words.choose);
  box.setAttribute("aria-label", words.label);
  const choose = make("button", { type: "button", class: "ivl-field-choose", onclick: () => file.click() },
    props.value ? make("img", { src: props.value, alt: words.label }) : make("span", {}, icon("add"), words.choose));
  box.replaceChildren(choose, make("div", { class: "ivl-field-buttons" },
    iconButton("camera", words.camera, camera),
    props.value ? iconButton("remove", words.remove, () => { props.value = ""; draw(); }) : null));
}
const isHere = () => root.offsetParent !== null;
document.addEventListener("paste", (event) => {
  const [first] = picturesOf(event.clipboardData);
  if (first && isHere()) { event.preventDefault(); take(first); }
});
box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("ivl-over"); });
box.addEventListener("dragleave", () => box.classList.remove("ivl-over"));
box.addEventListener("drop", (event) => { event.preventDefault(); box.classList.remove("ivl-over"); take(picturesOf(event.dataTransfer)[0]); });
watch(["value", "words"], draw);
draw();
