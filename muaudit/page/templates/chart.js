{
  const dark = matchMedia("screen and (prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const ofPage = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const touched = matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displaylogo: false, typesetMath: false, showTips: false, doubleClick: "reset",
    modeBarButtons: [["toImage", "resetScale2d"]], toImageButtonOptions: { filename: "muaudit", scale: 2 } };

  const unpack = async () => {
    const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (each) => each.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(unpacked).text();
    document.head.append(script);
  };

  const start = (plot) => {
    const box = plot.querySelector(".chart");
    const figure = JSON.parse(plot.querySelector("[type='application/json']").textContent);
    const frames = new Map(figure.frames.map((each) => [each.name, each]));
    const find = (name) => plot.querySelector(`[data-${name}]`);
    const [slider, raw, guesses, told] = [find("steps"), find("raw"), find("guesses"), plot.querySelector(".told")];
    const buttons = [...plot.querySelectorAll("[data-pick]")];
    let [hot, picked, traces] = [null, null, []];

    const share = (trace) => trace.x.length / trace.meta.lines.length;
    for (const trace of figure.data) {
      if (trace.meta.of === "curve") trace.text = trace.x.map((_, at) => figure.layout.meta.told[trace.meta.lines[Math.floor(at / share(trace))]]);
    }
    const frame = () => frames.get((slider?.value ?? "0") + (raw?.checked ? " raw" : "")) ?? { data: [] };
    const inked = (trace, more = {}) => {
      const color = trace.meta.colors[Number(dark.matches)];
      const others = picked !== null && !(trace.meta.lines.length === 1 && trace.meta.lines[0] === picked);
      const made = { ...trace, ...more, opacity: others ? 0.12 : trace.opacity, line: { ...trace.line, color } };
      if (trace.meta.of === "leaders") made.line.color = ofPage("--dim");
      if (trace.meta.of === "labels") {
        made.opacity = 1;
        made.textfont = { weight: 700, size: 14, color: ofPage(figure.layout.meta.fails ? "--error" : "--text") };
      }
      if (trace.fill) made.fillcolor = color;
      if (trace.error_x) made.error_x = { ...trace.error_x, color };
      if (trace.marker) made.marker = { ...trace.marker, color, line: { width: trace.meta.of === "beside" ? 1 : 0, color: ofPage("--back") } };
      return made;
    };
    const points = (of, line) => {
      for (const trace of traces.filter((each) => each.meta.of === of)) {
        const place = trace.meta.lines.indexOf(line);
        if (place < 0) continue;
        const [from, to] = [place * share(trace), (place + 1) * share(trace)];
        return { trace, x: trace.x.slice(from, to), y: trace.y.slice(from, to) };
      }
      return null;
    };
    const along = ({ x, y }) => y.map((value, at) => (value === null ? "" : `${at && y[at - 1] !== null ? "L" : "M"}${x[at]},${value}`)).join("");
    const shapes = () => {
      const line = hot ?? picked;
      const found = [];
      const add = (which, line_) => {
        const path = which && along(which);
        if (path) found.push({ type: "path", path, line: line_ });
      };
      const wanted = new Set(guesses?.checked ? figure.layout.meta.numbered : []);
      if (line !== null) wanted.add(line);
      for (const each of wanted) add(points("guesses", each), { color: ofPage("--text"), width: 1.2, dash: "4px,4px" });
      const own = line === null ? null : points("curve", line);
      if (own) add(own, { color: own.trace.meta.colors[Number(dark.matches)], width: 3.2, dash: own.trace.line.dash });
      return found;
    };
    const layout = () => {
      const made = structuredClone(figure.layout);
      const lines = { gridcolor: ofPage("--line"), linecolor: ofPage("--dim"), showline: true };
      made.template = { layout: {
        paper_bgcolor: ofPage("--back"), plot_bgcolor: ofPage("--back"), xaxis: lines, yaxis: lines,
        font: { color: ofPage("--text"), size: 13, family: "system-ui, sans-serif" },
        hoverlabel: { bgcolor: ofPage("--sheet"), font: { color: ofPage("--text"), size: 13, family: "system-ui, sans-serif" }, align: "left", namelength: -1 },
        modebar: { bgcolor: ofPage("--back"), color: ofPage("--dim"), activecolor: ofPage("--link") },
      } };
      made.shapes = shapes();
      if (touched) made.dragmode = false;
      if (paper.matches) made.width = 640;
      return made;
    };
    const show = () => {
      const { data } = frame();
      traces = figure.data.map((trace, place) => inked(trace, data[place]));
      return Plotly.react(box, traces, layout(), config);
    };
    const turn = () => {
      if (slider) {
        const words = Number(slider.value) ? "change after step " + slider.value : "value at init";
        slider.setAttribute("aria-valuetext", words);
        find("step-words").textContent = words;
      }
      show();
    };
    const warm = (line) => {
      if (line === hot) return;
      hot = line;
      Plotly.relayout(box, { shapes: shapes() });
    };
    const pick = (line) => {
      picked = picked === line ? null : line;
      for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.pick) === picked));
      told.textContent = buttons.find((button) => Number(button.dataset.pick) === picked)?.dataset.name ?? "";
      show();
    };

    const nearest = (event) => {
      const { xaxis, yaxis } = box._fullLayout;
      const { left, top } = box.getBoundingClientRect();
      const at = [event.clientX - left - xaxis._offset, event.clientY - top - yaxis._offset];
      let [best, found] = [14, null];
      traces.forEach((trace, curveNumber) => {
        if (trace.meta.of !== "curve") return;
        let before = null;
        trace.y.forEach((value, pointNumber) => {
          const end = value === null ? null : [xaxis.d2p(trace.x[pointNumber]), yaxis.d2p(value)];
          if (end) {
            const from = before ?? end;
            const [dx, dy] = [end[0] - from[0], end[1] - from[1]];
            const part = Math.max(0, Math.min(1, ((at[0] - from[0]) * dx + (at[1] - from[1]) * dy) / (dx * dx + dy * dy || 1)));
            const away = Math.hypot(at[0] - from[0] - part * dx, at[1] - from[1] - part * dy);
            const line = trace.meta.lines[Math.floor(pointNumber / share(trace))];
            if (away < best) [best, found] = [away, { line, point: { curveNumber, pointNumber: part < 0.5 && before ? pointNumber - 1 : pointNumber } }];
          }
          before = end;
        });
      });
      return found;
    };
    const leave = () => {
      Plotly.Fx.unhover(box);
      warm(null);
    };
    // Plotly itself names points alone: a line is named all along it.
    box.addEventListener("mousemove", (event) => {
      if (!event.target.closest(".nsewdrag")) return;
      event.stopPropagation();
      const found = nearest(event);
      if (!found) return leave();
      Plotly.Fx.hover(box, [found.point]);
      warm(found.line);
    }, true);
    box.addEventListener("mouseleave", leave);
    box.addEventListener("click", (event) => {
      const line = event.target.closest(".nsewdrag") ? nearest(event)?.line ?? picked : null;
      if (line !== null) pick(line);
    }, true);
    for (const button of buttons) {
      const line = Number(button.dataset.pick);
      button.addEventListener("click", () => pick(line));
      for (const name of ["pointerenter", "focus"]) button.addEventListener(name, () => warm(line));
      for (const name of ["pointerleave", "blur"]) button.addEventListener(name, () => warm(null));
    }
    slider?.addEventListener("input", turn);
    raw?.addEventListener("change", turn);
    guesses?.addEventListener("change", show);
    find("all")?.addEventListener("click", () => { if (picked !== null) pick(picked); });
    dark.addEventListener("change", show);
    paper.addEventListener("change", show);
    box.replaceChildren();
    turn();
    box.on("plotly_legendclick", (event) => {
      pick(traces[event.curveNumber].meta.lines[0]);
      return false;
    });
    for (const svg of box.querySelectorAll("svg.main-svg")) svg.setAttribute("aria-hidden", "true");
    plot.classList.add("drawn");
  };

  (async () => {
    try {
      await unpack();
    } catch {
      return; // What stands in the charts' place says it.
    }
    for (const plot of document.querySelectorAll(".plot")) {
      start(plot);
      await new Promise((resolve) => setTimeout(resolve));
    }
  })();
}
