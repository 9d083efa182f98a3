"use strict";
// The page reads without this script: it only sorts tables, shows what was tapped in a picture, and switches the theme.
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

for (const svg of document.querySelectorAll("svg.arena, svg.scatter")) {
  const out = svg.closest("section").querySelector(".picked");
  svg.addEventListener("click", (event) => {
    const title = event.target.querySelector("title");
    svg.querySelectorAll(".on").forEach((element) => element.classList.remove("on"));
    out.hidden = !title;
    if (title) {
      out.textContent = title.textContent;
      event.target.classList.add("on");
    }
  });
}

function value(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  const number = parseFloat(text.replace(/[^0-9.eE+-]/g, ""));
  return cell.classList.contains("n") ? (text === "exact" ? 1e9 : Number.isNaN(number) ? -1e9 : number) : text;
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th");
    if (!head) return;
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    const of = (row) => value(row, head.cellIndex);
    rows.sort((a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0) * (up ? 1 : -1));
    table.tBodies[0].append(...rows);
  });
}
