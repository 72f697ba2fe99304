// A button with data-copy copies its value to the clipboard. Over plain HTTP, browsers have no
// clipboard API; the old command copies the selected text instead.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const said = button.querySelector(".said");
  said.textContent = (await copy(button.dataset.copy)) ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (said.textContent = "Copy"), 2000);
});

async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // no permission: use the old command
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

// Shows the names of countries in the language of the browser.
document.addEventListener("DOMContentLoaded", () => {
  const names = new Intl.DisplayNames([navigator.language, "en"], { type: "region" });
  for (const code of document.querySelectorAll("abbr[data-country]")) {
    if (code.textContent) code.title = names.of(code.textContent);
  }
  const countries = document.querySelector("select[name=country]");
  if (!countries) return;
  const { value } = countries; // moving the options loses the selection
  const [all, ...options] = countries.options;
  for (const option of options) option.textContent = `${names.of(option.value)} (${option.value})`;
  options.sort((one, other) => one.text.localeCompare(other.text));
  countries.replaceChildren(all, ...options);
  countries.value = value;
});

// The theme draws charts when the page is loaded; the charts of the overview arrive later.
document.addEventListener("htmx:afterSettle", () => {
  if (document.querySelector("canvas.chart")) renderCharts();
});

// Gives the theme's hints a role for screen readers, after the theme's script has created them.
window.addEventListener("load", () => setTimeout(() => {
  for (const hint of document.querySelectorAll(".help-tooltip")) hint.setAttribute("role", "img");
}));

// Asks for confirmation before the user leaves a form with unsaved changes.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".change-form #content-main form[method=post]");
  if (!form) return;
  let isSent = false;
  // Another script may stop this submission and submit the form later.
  form.addEventListener("submit", (event) => (isSent = !event.defaultPrevented));
  window.addEventListener("beforeunload", (event) => {
    // In a form with errors, the typed values are the default values: they look unchanged.
    const isChanged = form.querySelector(".errornote") || [...form.elements].some(differs);
    if (isChanged && !isSent) event.preventDefault();
  });
});

// Whether the value of a field differs from the value that the server sent.
function differs(field) {
  if (!field.name || field.disabled) return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.type === "select-one") {
    const sent = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(sent, 0);
  }
  return "defaultValue" in field && field.value !== field.defaultValue;
}
