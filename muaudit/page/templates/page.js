"use strict";
for (const section of document.querySelectorAll(".target")) {
  const body = section.querySelector("tbody");
  const rows = body ? [...body.rows] : [];

  const flows = section.querySelectorAll(".flow details");
  const turn = (selector, open) => section.querySelector(selector)?.addEventListener("click", () => {
    for (const each of flows) each.open = open;
  });
  turn("[data-open]", true);
  turn("[data-close]", false);

  const filter = section.querySelector("[data-filter]");
  const wrong = section.querySelector("[data-wrong]");
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of rows) {
      const text = (row.cells[0].querySelector("code").textContent + " " + row.cells[2].textContent).toLowerCase();
      row.hidden = !text.includes(wanted) || (wrong.checked && !row.classList.contains("off"));
    }
  };
  filter?.addEventListener("input", show);
  wrong?.addEventListener("change", show);

  const slider = section.querySelector("[data-width]");
  slider?.addEventListener("input", () => {
    const times = 2 ** Number(slider.value);
    section.querySelector("output").textContent = String(Number(slider.dataset.width) * times);
    for (const cell of section.querySelectorAll("[data-lr]")) {
      const rate = Number(cell.dataset.lr) * times ** Number(cell.dataset.exponent);
      cell.dataset.value = String(rate);
      cell.textContent = String(Number(rate.toPrecision(3)));
    }
  });

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  section.querySelectorAll("thead th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      };
      body.append(...rows.sort(order));
    });
  });
}
