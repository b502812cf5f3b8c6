// What the test of a connection says of an engine completes the form, where it is still empty.
const field = (name) => document.querySelector(`#engine_${name}`);

document.addEventListener("htmx:afterSwap", ({ target }) => {
  if (target.id !== "connection") return;
  const models = target.querySelector("[data-models]");
  if (models) document.querySelector("#engine-models").replaceChildren(...models.children);
  const proposed = target.querySelector("[data-proposed]");
  if (!proposed) return;
  const { model, context, slots } = proposed.dataset;
  propose("model", model);
  propose("name", model.split("/").pop());
  propose("context_length", context);
  if (slots && field("slots").value === field("slots").defaultValue) field("slots").value = slots;
});

function propose(name, value) {
  if (value && !field(name).value) field(name).value = value;
}

document.addEventListener("click", ({ target }) => {
  const url = target.closest("[data-take-url]")?.dataset.takeUrl;
  if (!url) return;
  field("url").value = url;
  document.querySelector("[hx-target='#connection']").click();
});
