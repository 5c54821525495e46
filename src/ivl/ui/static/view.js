// The conversation: questions, pictures, streamed answers, boxes; copy, retry, edit, save.
const root = element.querySelector(".ivl-view");
const list = make("div", { class: "ivl-turns", role: "log", "aria-live": "polite", tabindex: "0" });
const alertBox = make("p", { class: "ivl-error", role: "alert" });
const tools = make("div", { class: "ivl-tools" });
root.append(tools, list, alertBox);
let drawn = [];
let editing = -1;
let isPinned = true;

const say = (action, data) => trigger("submit", { do: action, number: 0, ...data });
const seconds = (value) => value.toFixed(2);

// A little Markdown: paragraphs, lists, headings, code, bold. What is none of it stays as it was written.
function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part) => {
    if (/^`[^`]+`$/.test(part)) return make("code", {}, part.slice(1, -1));
    if (/^\*\*[^*]+\*\*$/.test(part)) return make("strong", {}, part.slice(2, -2));
    return part;
  });
}
function markdown(text) {
  const out = document.createDocumentFragment();
  let items = null;
  let paragraph = null;
  const pieces = text.split(/```[^\n]*\n?/);
  pieces.forEach((piece, at) => {
    if (at % 2) {
      out.append(make("pre", { tabindex: "0" }, make("code", {}, piece.replace(/\n$/, ""))));
      items = paragraph = null;
      return;
    }
    for (const line of piece.split("\n")) {
      const bullet = /^\s*(?:([-*•])|\d+[.)、])\s+(.*)$/.exec(line);
      const heading = /^#{1,6}\s+(.*)$/.exec(line);
      if (bullet) {
        const kind = bullet[1] ? "UL" : "OL";
        if (!items || items.nodeName !== kind) out.append((items = make(kind.toLowerCase())));
        items.append(make("li", {}, ...inline(bullet[2])));
        paragraph = null;
      } else if (heading) {
        out.append(make("p", { class: "ivl-heading" }, ...inline(heading[1])));
        items = paragraph = null;
      } else if (!line.trim()) {
        items = paragraph = null;
      } else if (paragraph) {
        paragraph.append(make("br"), ...inline(line));
      } else {
        out.append((paragraph = make("p", {}, ...inline(line))));
        items = null;
      }
    }
  });
  return out;
}

function picture(uri, number) {
  return make("img", { src: uri, alt: fill(props.words.picture, { number }), class: "ivl-picture" });
}
// Videos stand first, as the frames that are read. `<image>` in a question is a picture's place; the pictures without
// one stand before it.
function question(turn) {
  const parts = turn.text.split("<image>");
  const before = Math.max(0, turn.pictures.length - (parts.length - 1));
  const out = make("div", { class: "ivl-question" });
  for (const [at, uri] of turn.videos.entries()) out.append(make("img", { src: uri, alt: fill(props.words.video, { number: at + 1 }), class: "ivl-picture" }));
  if (before) out.append(make("div", { class: "ivl-pictures" }, ...turn.pictures.slice(0, before).map((uri, at) => picture(uri, at + 1))));
  parts.forEach((part, at) => {
    if (at && before + at - 1 < turn.pictures.length) out.append(picture(turn.pictures[before + at - 1], before + at));
    else if (at) out.append("<image>");
    if (part.trim()) out.append(make("p", {}, part.trim()));
  });
  return out;
}
const COLOURS = 6;
function places(turn, uri) {
  const names = [...new Set(turn.places.map((each) => each.name))];
  const label = fill(turn.places.length === 1 ? props.words.place : props.words.places, { count: turn.places.length, names: names.filter(Boolean).join(", ") });
  const boxes = turn.places.map((each) =>
    make("span", {
      class: `ivl-box ivl-colour-${names.indexOf(each.name) % COLOURS}`,
      style: `left:${each.left / 10}%;top:${each.top / 10}%;width:${(each.right - each.left) / 10}%;height:${(each.bottom - each.top) / 10}%`,
    }, each.name ? make("span", { class: "ivl-box-name" }, each.name) : null));
  return make("figure", { class: "ivl-places" },
    make("div", { class: "ivl-marked", role: "img", "aria-label": label }, make("img", { src: uri, alt: "" }), ...boxes),
    make("figcaption", {}, label));
}
function notes(counts, name) {
  const words = props.words;
  const out = [name, counts.answer === 1 ? words.token : fill(words.tokens, { count: counts.answer }), fill(words.total, { seconds: seconds(counts.total) })];
  if (counts.answer) out.push(fill(words.first, { seconds: seconds(counts.first) }));
  if (counts.rate) out.push(fill(words.speed, { rate: counts.rate }));
  if (counts.prompt) out.push(fill(words.prompt, { count: counts.prompt }));
  if (counts.tiles) out.push(counts.tiles === 1 ? words.tile : fill(words.tiles, { count: counts.tiles }));
  if (counts.finish === "abort") out.push(words.stopped);
  if (counts.finish === "length") out.push(words.cut);
  return out.join(" · ");
}
function lastPicture(at) {
  for (let index = at; index >= 0; index--) {
    const pictures = props.value.turns[index].pictures;
    if (pictures.length) return pictures[pictures.length - 1];
  }
  return null;
}
async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "ivl-hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.setAttribute("aria-label", props.words.copied);
  button.classList.add("ivl-done");
  setTimeout(() => { button.classList.remove("ivl-done"); button.setAttribute("aria-label", props.words.copy); }, 1500);
}
function editor(turn, at) {
  const area = make("textarea", { "aria-label": props.words.edit_label, rows: "2" });
  area.value = turn.text;
  const close = () => { editing = -1; drawn[at] = ""; draw(); };
  const send = () => { editing = -1; drawn[at] = ""; say("edit", { turn: at, text: area.value }); };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
  });
  setTimeout(() => area.focus());
  return make("div", { class: "ivl-editor" }, area, make("div", { class: "ivl-row" },
    make("button", { type: "button", class: "ivl-button", onclick: close }, props.words.cancel),
    make("button", { type: "button", class: "ivl-button ivl-primary", onclick: send }, props.words.send_edit)));
}
function turnNode(turn, at, isBusy) {
  const words = props.words;
  const asked = editing === at ? editor(turn, at) : question(turn);
  const actions = make("div", { class: "ivl-actions" });
  if (!isBusy && editing !== at) {
    actions.append(iconButton("edit", words.edit, () => { editing = at; drawn[at] = ""; draw(); }));
  }
  const answer = make("div", { class: "ivl-answer" });
  if (turn.answer) answer.append(markdown(turn.answer));
  else if (!turn.counts) answer.append(make("p", { class: "ivl-thinking" }, words.thinking, make("span", { "aria-hidden": "true" })));
  const uri = turn.places.length ? lastPicture(at) : null;
  if (uri) answer.append(places(turn, uri));
  const foot = make("div", { class: "ivl-foot" });
  if (turn.counts) {
    const copyButton = iconButton("copy", words.copy, () => copy(copyButton, turn.answer));
    foot.append(make("span", { class: "ivl-notes" }, notes(turn.counts, turn.name)), copyButton);
    if (!isBusy) foot.append(iconButton("again", words.again, () => say("again", { turn: at })));
  }
  return make("article", { class: "ivl-turn" },
    make("div", { class: "ivl-asked" }, make("span", { class: "ivl-hidden" }, words.you + ": "), asked, actions),
    make("div", { class: "ivl-answered" }, make("span", { class: "ivl-hidden" }, words.model + ": "), answer, foot));
}
function download(name, type, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
const turnsOf = () => (props.value?.turns || []).filter((turn) => turn.counts);
function asJson() {
  const messages = turnsOf().flatMap((turn) => [
    { role: "user", content: [...turn.videos.map((_, at) => ({ type: "text", text: `(${fill(props.words.video, { number: at + 1 })})` })), ...turn.pictures.map((url) => ({ type: "image_url", image_url: { url } })), { type: "text", text: turn.text }] },
    { role: "assistant", content: [{ type: "text", text: turn.answer }] },
  ]);
  return JSON.stringify(messages, null, 2) + "\n";
}
function asMarkdown() {
  return turnsOf().map((turn) => {
    const drawn = (uris, text) => uris.map((uri, at) => `![${fill(text, { number: at + 1 })}](${uri})\n\n`).join("");
    const shown = drawn(turn.videos, props.words.video) + drawn(turn.pictures, props.words.picture);
    return `**${props.words.you}**\n\n${shown}${turn.text}\n\n**${turn.name}**\n\n${turn.answer}\n\n_${notes(turn.counts, turn.name)}_\n`;
  }).join("\n");
}
function drawTools(isBusy) {
  const words = props.words;
  const is = turnsOf().length > 0;
  const labelled = (name, label, text, onclick) =>
    make("button", { type: "button", class: "ivl-quiet", "aria-label": label, title: label, onclick }, icon(name), make("span", {}, text));
  const name = `ivl-chat-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}`;
  tools.replaceChildren(...(is || isBusy ? [
    labelled("fresh", words.new_chat, words.new_chat, () => { editing = -1; trigger("clear", {}); }),
    labelled("save", words.save_markdown, "Markdown", () => download(`${name}.md`, "text/markdown", asMarkdown())),
    labelled("save", words.save_json, "JSON", () => download(`${name}.json`, "application/json", asJson())),
  ] : []));
}
function draw() {
  const value = props.value || { turns: [] };
  const words = JSON.stringify(props.words);
  list.setAttribute("aria-label", props.words.log);
  list.setAttribute("aria-busy", String(!!value.busy));
  root.classList.toggle("ivl-empty", !value.turns.length);
  if (!value.turns.length) {
    drawn = [];
    editing = -1;
    list.replaceChildren(make("div", { class: "ivl-welcome" }, make("h2", {}, props.words.welcome), make("p", {}, props.words.welcome_more)));
  } else if (list.querySelector(".ivl-welcome")) {
    list.replaceChildren();
  }
  while (drawn.length > value.turns.length) { drawn.pop(); list.lastChild?.remove(); }
  value.turns.forEach((turn, at) => {
    const signature = JSON.stringify([turn, value.busy, words, editing === at]);
    if (drawn[at] === signature || (drawn[at] && editing === at)) return;
    const node = turnNode(turn, at, value.busy);
    if (list.children[at]) list.children[at].replaceWith(node);
    else list.append(node);
    drawn[at] = signature;
  });
  drawTools(value.busy);
  alertBox.textContent = value.error || "";
  alertBox.hidden = !value.error;
  if (isPinned) list.scrollTop = list.scrollHeight;
  document.dispatchEvent(new CustomEvent("ivl:view", { detail: { busy: value.busy, taken: value.taken, error: value.error, count: value.turns.length } }));
}
list.addEventListener("scroll", () => { isPinned = list.scrollHeight - list.scrollTop - list.clientHeight < 80; });
list.addEventListener("load", () => { if (isPinned) list.scrollTop = list.scrollHeight; }, true);
new ResizeObserver(() => { if (isPinned) list.scrollTop = list.scrollHeight; }).observe(list);
watch(["value", "words"], draw);
draw();
