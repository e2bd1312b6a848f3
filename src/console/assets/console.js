// Makes quicker what works without it: keys to search and to get help, arrows from row to row.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const single = document.body.dataset.keys !== "off";
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (single && !typing && event.key === "/") {
    const find = document.getElementById("find");
    if (find) {
      event.preventDefault();
      find.focus();
    }
  } else if (single && !typing && event.key === "?" && document.getElementById("find")) {
    event.preventDefault();
    window.location.assign("/help");
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const row = event.target.closest("tbody tr");
    if (!row || typing) return;
    const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});

// One row of a table is reached by Tab, the others by arrows.
for (const body of document.querySelectorAll("tbody")) {
  const rows = body.querySelectorAll("tr");
  rows.forEach((row, number) => row.setAttribute("tabindex", number === 0 ? "0" : "-1"));
}

// A button that was pressed is pressed once.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
// What a page shows goes with the keys, also where the machine slept meanwhile.
const shownAt = Date.now();
const hide = () => {
  const seconds = Number(document.body.dataset.idle);
  if (!seconds || Date.now() - shownAt < seconds * 1000) return;
  const link = document.createElement("a");
  link.href = "/unlock?next=" + encodeURIComponent(location.pathname + location.search);
  link.textContent = "This page was not used for a while. Load it again";
  document.title = "Locked";
  document.body.removeAttribute("data-idle");
  document.body.replaceChildren(link);
};
setInterval(hide, 5000);
document.addEventListener("visibilitychange", hide);

window.addEventListener("pageshow", (event) => {
  // A page from the browser's memory may be older than the lock.
  if (event.persisted) location.reload();
  hide();
  for (const form of document.querySelectorAll("form[method=post]")) delete form.dataset.sent;
});
