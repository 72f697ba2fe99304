// Offers the time zone of the browser while another one is chosen.
const offer = document.getElementById("browser-zone");
const select = document.querySelector("select[name=time_zone]");
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
const option = [...select.options].find(({ value }) => value === timeZone);

function update() {
  offer.hidden = !option || option.selected;
}

const button = offer.querySelector("button");
button.textContent = said("Use {zone}, as this browser", { zone: option?.text });
button.addEventListener("click", () => {
  option.selected = true;
  update();
});
select.addEventListener("change", update);
update();
