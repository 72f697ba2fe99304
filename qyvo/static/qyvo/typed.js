// Brings back what somebody typed into a form if the answer was the login, because the session had
// expired, or the page about an outdated form. The values stay in this tab of the browser, until the
// next page of somebody who is logged in. Only forms of our own pages put them there, so another
// site cannot plant any; nothing is sent again by itself.
(() => {
  const KEY = "qyvo.typed";
  const LIFETIME = 30 * 60 * 1000; // milliseconds
  const USER = new URL(document.currentScript.src).hash; // empty before the login
  const PAGE = location.pathname + location.search;

  const isSecret = (field) =>
    ["password", "file"].includes(field.type) ||
    field.autocomplete === "one-time-code" ||
    field.name === "csrfmiddlewaretoken";
  const isButton = (field) => ["submit", "button", "reset", "image", "fieldset", "output"].includes(field.type);
  // Of hidden fields, only those with the values that the page showed: with them, the server finds out
  // whether somebody else has changed the same in the meantime.
  const isState = (field) => field.type === "hidden" && !field.name.startsWith("initial-");
  const fieldsOf = (form) =>
    [...form.elements].filter((field) => field.name && ![isButton, isSecret, isState].some((is) => is(field)));
  // The selection of a list is left out: nobody types it, and it may be of other pages, too.
  const formsOf = () => [...document.querySelectorAll("#content-main form[method=post]:not(#changelist-form)")];

  // What a browser is about to send. Not for pages that only ask, which have no visible field.
  document.addEventListener("formdata", ({ target: form, formData }) => {
    const number = formsOf().indexOf(form);
    const fields = fieldsOf(form);
    if (number < 0 || fields.every((field) => field.type === "hidden")) return;
    const names = new Set(fields.map((field) => field.name));
    const values = [...formData].filter(([name]) => names.has(name));
    keep({ user: USER, page: PAGE, number, at: Date.now(), values, isOpen: false });
  });

  function keep(typed) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(typed));
    } catch {
      sessionStorage.removeItem(KEY); // too large, or no storage: then the person types again
    }
  }

  function kept() {
    const typed = JSON.parse(sessionStorage.getItem(KEY));
    return typed && Date.now() - typed.at < LIFETIME ? typed : null;
  }

  // When the fields exist, and before the scripts run that make other elements of them.
  document.addEventListener("readystatechange", () => {
    if (document.readyState !== "interactive") return;
    const typed = kept();
    if (typed && !USER) {
      keep({ ...typed, isOpen: true });
      showWayBack(typed);
      return;
    }
    sessionStorage.removeItem(KEY);
    const isMine = typed?.isOpen && typed.user === USER && typed.page === PAGE;
    const form = isMine && formsOf()[typed.number];
    if (form && typed.values.every(([name]) => form.elements.namedItem(name))) fill(form, typed.values);
  });

  // On the page about an outdated form.
  function showWayBack(typed) {
    const link = document.querySelector("a[data-typed]");
    if (!link) return;
    link.href = typed.page;
    link.closest("[hidden]").hidden = false;
  }

  function fill(form, values) {
    const left = new Map();
    for (const [name, value] of values) left.set(name, [...(left.get(name) ?? []), value]);
    for (const field of fieldsOf(form)) if (!field.disabled) put(field, left.get(field.name) ?? []);
    form.before(notice());
  }

  // `values`: those of all fields with this name, in the order of the page.
  function put(field, values) {
    if (["checkbox", "radio"].includes(field.type)) field.checked = values.includes(field.value);
    else if (field.type === "select-multiple") {
      for (const option of field.options) option.selected = values.includes(option.value);
    } else if (values.length) field.value = values.shift();
  }

  // With the classes of the theme's information messages.
  function notice() {
    const text = document.createElement("p");
    text.setAttribute("role", "alert");
    text.className =
      "mb-3 px-3 py-2.5 rounded-default bg-blue-100 text-blue-700 dark:bg-blue-500/20 dark:text-blue-400";
    text.textContent = said(
      "Not saved yet: this is what you typed before you logged in again. Passwords and files are not kept.",
    );
    return text;
  }
})();
