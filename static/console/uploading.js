// An upload in pieces: a form may have 1 MiB, a file more. Without this a form sends one small file.
document.addEventListener("submit", (event) => {
  const form = event.target.closest?.("form[data-pieces]");
  const file = form?.elements.file.files[0];
  if (!file || file.size <= Number(form.dataset.pieces)) return;
  event.preventDefault();
  if (form.getAttribute("aria-busy") === "true") return;
  form.setAttribute("aria-busy", "true");
  (form.dataset.uploads ? sendBefore(form, file) : send(form, file).then(() => location.reload())).catch((problem) => {
    form.removeAttribute("aria-busy");
    tell(form, form.dataset.failed.replace("{why}", problem.message));
  });
});

// The form itself brings the first piece.
async function send(form, file) {
  let address = form.action;
  for (const [number, piece, isLast] of pieces(form, file)) {
    const answer = await post(form, address, { form: form.elements.form.value, piece: number, ...(isLast && { is_last: "on" }) }, piece);
    if (number > 0) continue;
    if (!answer.headers.get("Content-Type")?.startsWith("application/json")) throw new Error(`HTTP ${answer.status}`);
    address = (await answer.json()).pieces;
  }
}

// The pieces come first; then the form names their upload in place of the file.
async function sendBefore(form, file) {
  const begun = await (await post(form, form.dataset.uploads, { file_name: file.name })).json();
  for (const [number, piece] of pieces(form, file)) await repeat(() => post(form, begun.pieces, { piece: number }, piece));
  form.elements.upload.value = begun.upload;
  form.elements.file.value = "";
  form.submit();
}

function* pieces(form, file) {
  const size = Number(form.dataset.pieces);
  for (let number = 0; number * size < file.size; number += 1) {
    const end = Math.min((number + 1) * size, file.size);
    tell(form, form.dataset.sending.replace("{n}", Math.floor((100 * end) / file.size)));
    yield [number, file.slice(number * size, end), end === file.size];
  }
}

// A piece may be sent again after a broken connection.
async function repeat(act, times = 5) {
  for (let left = times; ; left -= 1) {
    try {
      return await act();
    } catch (problem) {
      if (left === 0 || !(problem instanceof TypeError)) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** (times - left)));
    }
  }
}

async function post(form, address, fields, piece) {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  if (piece) body.set("file", piece, "piece");
  const answer = await fetch(address, { method: "POST", body, redirect: "error" });
  if (answer.ok) return answer;
  throw new Error(answer.status === 409 ? await answer.text() : `HTTP ${answer.status}`);
}

function tell(form, text) {
  form.querySelector("[data-progress]").textContent = text;
}
