// A security key that does not answer: said on the page, where django-allauth would only log it.
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  for (const said of document.querySelectorAll("[data-key-trouble]")) said.hidden = false;
});
