// Scripts of the admin: buttons that copy a value, names of countries, charts that are loaded later,
// what the theme leaves out for the keyboard, and the warning about unsaved changes.

// `text` in the language of the page. `values` fill its {gaps}. The page has the translations of
// `qyvo/script_texts.py`, which lists each text of the scripts; an English page has none. All scripts
// use this function, once the page is complete.
function said(text, values = {}) {
  said.texts ??= JSON.parse(document.getElementById("script-texts")?.textContent ?? "{}");
  return (said.texts[text] ?? text).replace(/\{(\w+)\}/g, (gap, name) => values[name] ?? gap);
}

const LANGUAGE = document.documentElement.lang;
Chart.defaults.locale = LANGUAGE; // of the numbers at charts; else they are in the browser's language

// A button with data-copy copies its value. Over plain HTTP, browsers have no clipboard API, only
// the old command that copies selected text.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const status = button.querySelector(".status");
  status.textContent = (await copy(button.dataset.copy)) ? said("Copied") : said("Press Ctrl+C");
  setTimeout(() => (status.textContent = said("Copy")), 2000);
});

// A button with data-print prints the page.
document.addEventListener("click", (event) => {
  if (event.target.closest("button[data-print]")) window.print();
});

async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // no permission
    }
  }
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

// Shows countries by name, in the language of the page.
document.addEventListener("DOMContentLoaded", () => {
  const names = new Intl.DisplayNames([LANGUAGE, "en"], { type: "region" });
  for (const code of document.querySelectorAll("abbr[data-country]")) {
    if (code.textContent) code.title = names.of(code.textContent);
  }
  const countries = document.querySelector("select[name=country]");
  if (!countries) return;
  const { value } = countries; // moving its option would lose the value
  const [all, ...options] = countries.options;
  for (const option of options) option.textContent = `${names.of(option.value)} (${option.value})`;
  options.sort((one, other) => one.text.localeCompare(other.text, LANGUAGE));
  countries.replaceChildren(all, ...options);
  countries.value = value;
});

// The theme draws charts when a page has loaded. Tiles that come after that are drawn here; those
// that come before, for example because a font is late, must not be drawn twice; nor when something
// else comes, such as the counts of views.
document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (document.readyState === "complete" && target.querySelector("canvas.chart")) renderCharts();
});

// What the theme leaves out for the keyboard and for screen readers. Alpine.js reads attributes when
// it starts, so this comes just before.
document.addEventListener("alpine:init", () => {
  const names = controlNames();
  document.querySelectorAll("[x-on\\:click]").forEach((control) => makeOperable(control, names));
  for (const [selector, name] of Object.entries(partNames())) {
    document.querySelector(selector)?.setAttribute("aria-label", name);
  }
  for (const [selector, name] of Object.entries(scrolledNames())) {
    document.querySelector(selector)?.setAttribute("data-simplebar-aria-label", name);
  }
  hideIcons(document);
});
document.addEventListener("htmx:load", (event) => hideIcons(event.target));

// Functions, because the texts come after this script.
const partNames = () => ({
  "#nav-sidebar-inner": said("Menu"),
  "nav nav:has(#logout-form)": said("Account"),
  "#nav-sidebar [x-on\\:click^=sidebarMobileOpen]": said("Close the menu"),
  "#searchbar-submit": said("Search"),
  "#searchbar": said("Search"),
  "#changelist-filter form": said("Filters"),
});

// SimpleBar makes a landmark of each part that scrolls.
const scrolledNames = () => ({
  "#nav-sidebar-apps": said("Entries of the menu"),
  "#changelist-filter [data-simplebar]": said("Fields of the filters"),
  "[data-simplebar]:has(#result_list)": said("Rows of the list"),
});

// By the beginning of what a click does: names of controls that are only an icon.
const controlNames = () => ({
  sidebar: said("Menu"),
  showActions: said("Actions"),
  openTheme: said("Theme"),
  openRelated: said("Add or change"),
  openTabsDropdown: said("More pages"),
  "filterOpen = false": said("Close the filters"),
});

// What opens; where it is not here, it is beside the control.
const POPUPS = { sidebarMobileOpen: "#nav-sidebar", filterOpen: "#changelist-filter form" };
const STAYS_OPEN = ["sidebarDesktopOpen", "navigationOpen"]; // parts of the page
const FOCUSABLE = "a[href], button, input:not([type=hidden]), select, [tabindex='0']";

// The name of an icon is text, which belongs to no name of a link or button.
function hideIcons(root) {
  for (const icon of root.querySelectorAll(".material-symbols-outlined:not([role])")) {
    icon.setAttribute("aria-hidden", "true");
  }
}

// Makes a button of an element that reacts to clicks only, and says whether it is open or pressed.
// `names`: see `controlNames`.
function makeOperable(control, names) {
  const action = control.getAttribute("x-on:click");
  const known = Object.keys(names).find((beginning) => action.startsWith(beginning));
  if (known) control.setAttribute("aria-label", names[known]);
  if (!control.matches("a[href]:not([href='#']), button, input")) {
    control.setAttribute("role", "button");
    control.tabIndex = 0;
  }
  const [, state] = action.match(/^(\w+) = (?:!|true)/) ?? [];
  const [, theme] = action.match(/[tT]heme.*'(\w+)'/) ?? [];
  if (theme) control.setAttribute("x-bind:aria-pressed", `adminTheme == '${theme}'`);
  if (!state) return;
  control.setAttribute("x-bind:aria-expanded", state);
  if (STAYS_OPEN.includes(state)) return;
  control.setAttribute("x-on:keydown.escape.window", `${state} = false`);
  control.setAttribute("x-init", `$watch('${state}', (isOpen) => moveFocus($el, isOpen, '${state}'))`);
}

// Moves the focus into what a key has opened, and back to the control when it closes.
function moveFocus(control, isOpen, state) {
  const { parentElement: parent } = control;
  const popup = POPUPS[state] ? document.querySelector(POPUPS[state])
    : parent.querySelector("nav, ul") ?? parent.querySelector("template")?._x_teleport; // Alpine.js moves it
  const isLost = popup?.contains(document.activeElement);
  // The second frame: in the first, the theme shows what opens.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    if (!isOpen && isLost) control.focus();
    if (isOpen && control.matches(":focus-visible")) popup?.querySelector(FOCUSABLE)?.focus();
  }));
}

document.addEventListener("keydown", (event) => {
  if (!["Enter", " "].includes(event.key) || !event.target.matches("[role=button]")) return;
  event.preventDefault();
  event.target.click();
});

// Gives the theme's tooltips a role, which accessibility checks require. The theme's own script
// creates the tooltips, so this must run after it.
window.addEventListener("load", () => setTimeout(() => {
  for (const hint of document.querySelectorAll(".help-tooltip")) hint.setAttribute("role", "img");
}));

// Warns before somebody leaves a page with unsaved changes in one of its forms.
document.addEventListener("DOMContentLoaded", () => {
  const forms = [...document.querySelectorAll(".change-form #content-main form[method=post]")];
  let sent = null;
  for (const form of forms) {
    // Another script may stop this submit and send the form later; see TagNames in tags.js.
    form.addEventListener("submit", (event) => (sent = event.defaultPrevented ? null : form));
  }
  window.addEventListener("beforeunload", (event) => {
    if (forms.some((form) => form !== sent && isChanged(form))) event.preventDefault();
  });
});

// After an error, the typed values come from the server and look unchanged, but are not saved.
function isChanged(form) {
  return Boolean(form.querySelector(".errornote")) || [...form.elements].some(differs);
}

// Whether a field has another value than the server sent.
function differs(field) {
  if (!field.name || field.disabled) return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.type === "select-one") {
    const sent = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(sent, 0);
  }
  return "defaultValue" in field && field.value !== field.defaultValue;
}
