// Scripts of the admin: buttons that copy a value, names of countries, charts that are loaded later,
// and the warning about unsaved changes.

// A button with data-copy copies its value. Over plain HTTP, browsers have no clipboard API, only
// the old command that copies selected text.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const status = button.querySelector(".status");
  status.textContent = (await copy(button.dataset.copy)) ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (status.textContent = "Copy"), 2000);
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

// Shows countries by name, in the language of the browser.
document.addEventListener("DOMContentLoaded", () => {
  const names = new Intl.DisplayNames([navigator.language, "en"], { type: "region" });
  for (const code of document.querySelectorAll("abbr[data-country]")) {
    if (code.textContent) code.title = names.of(code.textContent);
  }
  const countries = document.querySelector("select[name=country]");
  if (!countries) return;
  const { value } = countries; // moving its option would lose the value
  const [all, ...options] = countries.options;
  for (const option of options) option.textContent = `${names.of(option.value)} (${option.value})`;
  options.sort((one, other) => one.text.localeCompare(other.text));
  countries.replaceChildren(all, ...options);
  countries.value = value;
});

// The theme draws charts when a page has loaded. Tiles that come after that are drawn here; those
// that come before, for example because a font is late, must not be drawn twice; nor when something
// else comes, such as the counts of views.
document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (document.readyState === "complete" && target.querySelector("canvas.chart")) renderCharts();
});

// Gives the theme's tooltips a role, which accessibility checks require. The theme's own script
// creates the tooltips, so this must run after it.
window.addEventListener("load", () => setTimeout(() => {
  for (const hint of document.querySelectorAll(".help-tooltip")) hint.setAttribute("role", "img");
}));

// Warns before somebody leaves a form with unsaved changes.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".change-form #content-main form[method=post]");
  if (!form) return;
  let isSent = false;
  // Another script may stop this submit and send the form later; see TagNames in tags.js.
  form.addEventListener("submit", (event) => (isSent = !event.defaultPrevented));
  window.addEventListener("beforeunload", (event) => {
    // After an error, the typed values come from the server and look unchanged, but are not saved.
    const isChanged = form.querySelector(".errornote") || [...form.elements].some(differs);
    if (isChanged && !isSent) event.preventDefault();
  });
});

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
