// The quick bar: a cuisine's dishes, each a button that adds its picture to the question.
const root = element.querySelector(".ivl-foods");
let chosen = 0;
const nameOf = (names) => names[props.words.code] || names.en || "";
function pick(dish, group, at) {
  const name = nameOf(dish.names) || `${nameOf(props.cuisines[group].names)} ${at + 1}`;
  document.dispatchEvent(new CustomEvent("ivl:dish", { detail: { dish: [group, at], uri: dish.uri, name, said: fill(props.words.added, { name }) } }));
}
function draw() {
  const words = props.words;
  const cuisine = props.cuisines[chosen];
  const select = make("select", { id: "ivl-cuisine", onchange: () => { chosen = select.selectedIndex; draw(); root.querySelector("select").focus(); } },
    ...props.cuisines.map((each, at) => make("option", { value: String(at), selected: at === chosen }, `${nameOf(each.names)} (${each.dishes.length})`)));
  root.replaceChildren(
    make("div", { class: "ivl-foods-head" }, make("h2", {}, words.title), make("label", { for: "ivl-cuisine", class: "ivl-hidden" }, words.cuisine), select),
    make("ul", { class: "ivl-dishes", tabindex: "0", "aria-label": words.title }, ...cuisine.dishes.map((dish, at) => {
      const name = nameOf(dish.names);
      const label = fill(words.pick, { name: name || `${nameOf(cuisine.names)} ${at + 1}` });
      return make("li", {}, make("button", { type: "button", class: "ivl-dish", "aria-label": label, title: name, onclick: () => pick(dish, chosen, at) },
        make("img", { src: dish.uri, alt: "", loading: "lazy" }), name ? make("span", {}, name) : null));
    })));
}
watch("words", draw);
draw();
