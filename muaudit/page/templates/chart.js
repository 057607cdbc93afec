for (const plot of document.querySelectorAll(".plot")) {
  const svg = plot.querySelector("svg");
  const slider = plot.querySelector("[data-steps]");
  const raw = plot.querySelector("[data-raw]");
  const guesses = plot.querySelector("[data-guesses]");
  const told = plot.querySelector(".told");
  const buttons = [...plot.querySelectorAll("[data-pick]")];
  const names = new Map(buttons.map((button) => [button.dataset.pick, button.dataset.name]));
  const frames = [...svg.querySelectorAll("[data-frame]")];
  let hot = null;
  let picked = null;

  const turn = () => {
    const step = slider ? slider.value : frames[0]?.dataset.frame;
    const view = raw && raw.checked ? "raw" : raw ? "divided" : "";
    for (const frame of frames) {
      frame.classList.toggle("off", frame.dataset.frame !== step || (frame.dataset.view !== "" && frame.dataset.view !== view));
    }
    if (slider) {
      const words = Number(step) ? "change after step " + step : "value at init";
      slider.setAttribute("aria-valuetext", words);
      plot.querySelector("[data-step-words]").textContent = words;
    }
  };
  const mark = (name, line) => {
    for (const each of svg.querySelectorAll("[data-line]")) each.classList.toggle(name, each.dataset.line === line);
  };
  const tell = () => { told.textContent = names.get(hot ?? picked) ?? ""; };
  const warm = (line) => {
    if (line === hot) return;
    hot = line;
    mark("hot", hot);
    tell();
  };
  const pick = (line) => {
    picked = picked === line ? null : line;
    plot.classList.toggle("picking", picked !== null);
    mark("picked", picked);
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.pick === picked));
    tell();
  };

  const corners = new WeakMap();
  const pointsOf = (path) => {
    if (!corners.has(path)) {
      corners.set(path, path.getAttribute("d").split(/(?=[ML])/).filter(Boolean).map((part) => {
        const [x, y] = part.slice(1).split(" ").map(Number);
        return { x, y, starts: part[0] === "M" };
      }));
    }
    return corners.get(path);
  };
  const away = (at, a, b) => {
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const share = Math.max(0, Math.min(1, ((at.x - a.x) * dx + (at.y - a.y) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(at.x - a.x - share * dx, at.y - a.y - share * dy);
  };
  const nearest = (event) => {
    const matrix = svg.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let best = 14;
    let found = null;
    for (const path of svg.querySelectorAll(".frame:not(.off) .line")) {
      const points = pointsOf(path);
      points.forEach((point, place) => {
        const distance = away(at, point.starts ? point : points[place - 1], point);
        if (distance < best) [best, found] = [distance, path.closest("[data-line]").dataset.line];
      });
    }
    return found;
  };
  svg.addEventListener("pointermove", (event) => warm(nearest(event)));
  svg.addEventListener("pointerleave", () => warm(null));
  svg.addEventListener("click", (event) => {
    const line = nearest(event) ?? picked;
    if (line !== null) pick(line);
  });
  for (const button of buttons) {
    button.addEventListener("click", () => pick(button.dataset.pick));
    button.addEventListener("pointerenter", () => warm(button.dataset.pick));
    button.addEventListener("pointerleave", () => warm(null));
  }
  slider?.addEventListener("input", turn);
  raw?.addEventListener("change", turn);
  guesses?.addEventListener("change", () => plot.classList.toggle("guessed", guesses.checked));
  plot.querySelector("[data-all]")?.addEventListener("click", () => { if (picked !== null) pick(picked); });
  turn();
}
