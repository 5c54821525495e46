// The name of the page, and the switch between light and dark.
const root = element.querySelector(".ivl-header");
const KEY = "ivl-colours";
const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
const remember = (value) => { try { localStorage.setItem(KEY, value); } catch { /* a private window */ } };
const isDark = () => document.body.classList.contains("dark");
const asked = new URLSearchParams(location.search).get("__theme");
const chosen = asked || remembered();
if (chosen) document.body.classList.toggle("dark", chosen === "dark");
function draw() {
  const words = props.words;
  document.documentElement.lang = words.code;
  document.title = words.title;
  const label = isDark() ? words.light : words.dark;
  const toggle = () => {
    document.body.classList.toggle("dark");
    remember(isDark() ? "dark" : "light");
    draw();
    root.querySelector("button").focus();
  };
  root.replaceChildren(
    make("h1", {}, make("span", { class: "ivl-mark", "aria-hidden": "true" }, "ivl"), make("span", { class: "ivl-tagline" }, words.tagline)),
    iconButton(isDark() ? "sun" : "moon", label, toggle),
  );
}
watch("words", draw);
draw();
