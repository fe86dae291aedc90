"use strict";
// The page works without this. With it, answers are shown as they come, and
// only the state of the session is drawn again.
const answers = document.getElementById("answers");
const twice = document.getElementById("twice");
document.getElementById("twice-label").hidden = false;

document.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  event.preventDefault();
  if (button) button.disabled = true;
  const sends = [send(form)];
  if (twice.checked) sends.push(send(form));
  await Promise.all(sends);
  if (button) button.disabled = false;
  await refresh();
});

async function send(form) {
  const method = form.method.toUpperCase();
  const fields = new URLSearchParams(new FormData(form));
  const path = form.getAttribute("action");
  const url = method === "GET" && fields.size ? path + "?" + fields : path;
  const line = document.createElement("li");
  line.textContent = method + " " + path + (fields.size ? "?" + fields : "") + "  …";
  document.getElementById("console").hidden = false;
  answers.prepend(line);
  while (answers.childElementCount > 30) answers.lastElementChild.remove();
  let text;
  try {
    const response = await fetch(url, { method, body: method === "GET" ? null : fields, cache: "no-store", headers: { Accept: "application/json" } });
    text = response.status + " " + (await response.text()).trim().slice(0, 600);
    line.classList.toggle("failed", response.status >= 400);
  } catch (error) {
    text = String(error);
    line.classList.add("failed");
  }
  line.textContent = line.textContent.replace("…", "→ " + text);
}

async function refresh() {
  const response = await fetch("/", { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("state");
  if (fresh) document.getElementById("state").replaceWith(fresh);
}
