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

  const drawn = section.querySelector(".graph svg");
  for (const each of section.querySelectorAll("[data-zoom]")) each.addEventListener("click", () => {
    const natural = Number(drawn.dataset.wide), times = Number(each.dataset.zoom);
    const wide = times ? drawn.getBoundingClientRect().width * times : Math.min(natural, drawn.parentElement.clientWidth - 20);
    drawn.setAttribute("width", String(Math.max(100, Math.min(4 * natural, wide))));
    drawn.removeAttribute("height");
    drawn.style.height = "auto";
  });

  const filter = section.querySelector("[data-filter]");
  const wrong = section.querySelector("[data-wrong]");
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of rows) {
      const text = [row.cells[0].querySelector("code"), row.cells[1], row.cells[2]].map((each) => each.textContent).join(" ");
      row.hidden = !text.toLowerCase().includes(wanted) || (wrong?.checked && !row.classList.contains("off"));
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

  const sizes = [...section.querySelectorAll("[data-size]")];
  const tuned = section.querySelector("[data-tuned]");
  const shown = (number) => (number === 0 || (Math.abs(number) >= 1e-3 && Math.abs(number) < 1e4) ? String(Number(number.toPrecision(3))) : number.toExponential(2));
  const scale = () => {
    const ratios = { width: 1, depth: 1 };
    for (const each of sizes) {
      const size = Number(each.dataset.sizes.split(",")[Number(each.value)]);
      each.closest("label").querySelector("output").textContent = String(size);
      each.setAttribute("aria-valuetext", String(size));
      ratios[each.dataset.size] = size / Number(each.dataset.base);
    }
    for (const span of section.querySelectorAll("[data-over-width]")) {
      const factor = ratios.width ** Number(span.dataset.overWidth) * ratios.depth ** Number(span.dataset.overDepth);
      const number = span.dataset.rate === undefined ? factor : factor * Number(tuned.value);
      span.closest("td").dataset.value = String(number);
      span.textContent = shown(number);
    }
  };
  for (const each of [...sizes, tuned]) each?.addEventListener("input", scale);

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  section.querySelectorAll("table").forEach((table) => [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  }));
}
for (const group of document.querySelectorAll(".axes")) {
  const buttons = [...group.querySelectorAll("input[type=radio]")];
  const show = () => {
    for (const each of buttons) document.getElementById(each.value).hidden = !each.checked;
  };
  const follow = () => {
    const wanted = location.hash && document.getElementById(location.hash.slice(1))?.closest(".axes > .target");
    const button = buttons.find((each) => each.value === wanted?.id);
    if (!button || button.checked) return;
    button.checked = true;
    show();
    document.getElementById(location.hash.slice(1)).scrollIntoView();
  };
  for (const each of buttons) each.addEventListener("change", show);
  addEventListener("hashchange", follow);
  show();
  follow();
}
