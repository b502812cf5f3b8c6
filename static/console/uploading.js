// An upload in pieces: a form may have 1 MiB, a data set more. Without this a form sends one small file.
document.addEventListener("submit", (event) => {
  const form = event.target.closest?.("form[data-pieces]");
  const file = form?.elements.file.files[0];
  if (!file || file.size <= Number(form.dataset.pieces)) return;
  event.preventDefault();
  if (form.getAttribute("aria-busy") === "true") return;
  form.setAttribute("aria-busy", "true");
  send(form, file)
    .then(() => location.reload())
    .catch((problem) => {
      form.removeAttribute("aria-busy");
      tell(form, form.dataset.failed.replace("{why}", problem.message));
    });
});

async function send(form, file) {
  const size = Number(form.dataset.pieces);
  let address = form.action;
  for (let number = 0; number * size < file.size; number += 1) {
    const end = Math.min((number + 1) * size, file.size);
    tell(form, form.dataset.sending.replace("{n}", Math.floor((100 * end) / file.size)));
    const answer = await post(form, address, number, file.slice(number * size, end), end === file.size);
    if (number === 0) address = (await answer.json()).pieces;
  }
}

async function post(form, address, number, piece, isLast) {
  const body = new FormData();
  for (const name of ["csrfmiddlewaretoken", "form"]) body.set(name, form.elements[name].value);
  body.set("piece", number);
  body.set("file", piece, "piece");
  if (isLast) body.set("is_last", "on");
  const answer = await fetch(address, { method: "POST", body, redirect: "error" });
  const json = answer.headers.get("Content-Type")?.startsWith("application/json");
  if (answer.ok && (number > 0 || json)) return answer;
  throw new Error(answer.status === 409 ? await answer.text() : `HTTP ${answer.status}`);
}

function tell(form, text) {
  form.querySelector("[data-progress]").textContent = text;
}
