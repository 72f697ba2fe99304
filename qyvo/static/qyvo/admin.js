// A button with data-copy puts its value on the clipboard. Over plain HTTP browsers offer no
// clipboard but the old command, which copies what is selected.
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

// Countries by their names in the reader's language, which browsers know.
document.addEventListener("DOMContentLoaded", () => {
  const names = new Intl.DisplayNames([navigator.language, "en"], { type: "region" });
  for (const code of document.querySelectorAll("abbr[data-country]")) {
    if (code.textContent) code.title = names.of(code.textContent);
  }
  const countries = document.querySelector("select[name=country]");
  if (!countries) return;
  const { value } = countries; // which is lost when its option is moved
  const [all, ...options] = countries.options;
  for (const option of options) option.textContent = `${names.of(option.value)} (${option.value})`;
  options.sort((one, other) => one.text.localeCompare(other.text));
  countries.replaceChildren(all, ...options);
  countries.value = value;
});

// The theme draws charts when a page is there; those of the overview come later.
document.addEventListener("htmx:afterSettle", () => {
  if (document.querySelector("canvas.chart")) renderCharts();
});

// The theme's hints have no role; set once its own script has made them.
window.addEventListener("load", () => setTimeout(() => {
  for (const hint of document.querySelectorAll(".help-tooltip")) hint.setAttribute("role", "img");
}));

// Asks before somebody leaves a page to add or change a row with something that is not saved.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".change-form #content-main form[method=post]");
  if (!form) return;
  let isSent = false;
  // Other scripts may hold the form back, and send it later.
  form.addEventListener("submit", (event) => (isSent = !event.defaultPrevented));
  window.addEventListener("beforeunload", (event) => {
    // A form that was refused shows what was typed as if it had come so from the server.
    const isChanged = form.querySelector(".errornote") || [...form.elements].some(differs);
    if (isChanged && !isSent) event.preventDefault();
  });
});

// Whether a field differs from what the server sent.
function differs(field) {
  if (!field.name || field.disabled) return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.type === "select-one") {
    const sent = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(sent, 0);
  }
  return "defaultValue" in field && field.value !== field.defaultValue;
}
