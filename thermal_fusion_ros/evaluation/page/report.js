"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const higher = Object.fromEntries(data.metrics.map((metric) => [metric.name, metric.higher]));
  const sheets = new Map([...document.querySelectorAll(".sheet")].map((sheet) => [sheet.dataset.name, sheet]));
  const value = (method, picture, metric) => data.scores[method]?.[picture]?.[metric];
  const number = (x) => (x === undefined ? "–" : Math.abs(x) >= 10 ? x.toFixed(2) : x.toFixed(3));
  const create = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // --- sorting ------------------------------------------------------------------------------------------------

  function sortBy(heading) {
    const table = heading.closest("table");
    const column = [...heading.parentElement.children].indexOf(heading);
    const first = heading.dataset.higher === "true" ? "descending" : "ascending"; // the best on top, names from A
    const other = first === "descending" ? "ascending" : "descending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    table.querySelectorAll("thead th").forEach((th) => th.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => row.children[column].dataset.value;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what has no value stays at the end
      const difference = "higher" in heading.dataset ? Number(x) - Number(y) : x.localeCompare(y);
      return sign * difference;
    });
    table.tBodies[0].append(...rows);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".sortable thead button");
    if (button) sortBy(button.parentElement);
  });

  // --- one picture, large -------------------------------------------------------------------------------------

  const viewer = byId("viewer");
  let shown = null;
  function open(picture) {
    shown = picture;
    byId("viewer-title").textContent = picture;
    const images = [...(sheets.get(picture)?.querySelectorAll("figure") ?? [])].map((figure) => figure.cloneNode(true));
    const none = create("p", { textContent: "This picture has no sheet in the report." });
    viewer.querySelector(".row").replaceChildren(...(images.length ? images : [none]));
    const head = create("tr", {}, create("th"), ...data.metrics.map(({ name }) => create("th", { textContent: name })));
    const rows = data.methods.map((method) => create(
      "tr", { className: method.ours ? "ours" : "" },
      create("th", { scope: "row", textContent: method.name }),
      ...data.metrics.map(({ name }) => create("td", { textContent: number(value(method.name, picture, name)) })),
    ));
    viewer.querySelector("table").replaceChildren(create("thead", {}, head), create("tbody", {}, ...rows));
    if (!viewer.open) viewer.showModal();
  }
  function step(by) {
    const visible = [...sheets.values()].filter((sheet) => !sheet.hidden);
    const names = [...byId("sheet-list").children].filter((sheet) => visible.includes(sheet)).map((sheet) => sheet.dataset.name);
    if (names.length) open(names[(names.indexOf(shown) + by + names.length) % names.length]);
  }
  byId("close").addEventListener("click", () => viewer.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  byId("sheet-list").addEventListener("click", (event) => {
    if (event.target.closest("img, .open")) open(event.target.closest(".sheet").dataset.name);
  });

  // --- selects ------------------------------------------------------------------------------------------------

  const options = (select, names, chosen) => {
    select.replaceChildren(...names.map((name) => create("option", { textContent: name, value: name })));
    if (names.includes(chosen)) select.value = chosen;
  };
  const metricNames = data.metrics.map(({ name }) => name);
  const methodNames = data.methods.map(({ name }) => name);
  const ours = (data.methods.find((method) => method.ours) ?? data.methods[0]).name;
  options(byId("x-metric"), metricNames, "VIF");
  options(byId("y-metric"), metricNames, metricNames.includes("Qabf") ? "Qabf" : metricNames[1]);
  options(byId("scores-method"), methodNames, ours);
  options(byId("order-metric"), ["name", ...metricNames], "name");
  options(byId("order-method"), methodNames, ours);

  // --- scatter ------------------------------------------------------------------------------------------------

  const plot = byId("plot");
  const area = { left: 62, right: 846, top: 14, bottom: 436 };
  const svg = (tag, attributes = {}, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, content] of Object.entries(attributes)) element.setAttribute(name, content);
    element.textContent = text;
    return element;
  };
  function ticks(low, high) {
    const raw = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(raw));
    const size = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
    const digits = Math.max(0, -Math.floor(Math.log10(size)));
    const list = [];
    for (let i = Math.ceil(low / size); i * size <= high; i += 1) list.push([i * size, (i * size).toFixed(digits)]);
    return list;
  }
  function axis(values, from, to) {
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low) * 0.04 || Math.abs(low) * 0.1 || 1;
    [low, high] = [low - margin, high + margin];
    return { at: (x) => from + ((x - low) / (high - low)) * (to - from), ticks: ticks(low, high) };
  }
  const hiddenMethods = new Set();
  function drawScatter() {
    const [xName, yName] = [byId("x-metric").value, byId("y-metric").value];
    const points = data.methods.filter((method) => !hiddenMethods.has(method.name)).flatMap((method) =>
      data.pictures.map((picture) => ({ method, picture, x: value(method.name, picture, xName), y: value(method.name, picture, yName) })),
    ).filter(({ x, y }) => x !== undefined && y !== undefined);
    plot.replaceChildren();
    if (!points.length) return;
    const x = axis(points.map((point) => point.x), area.left, area.right);
    const y = axis(points.map((point) => point.y), area.bottom, area.top);
    for (const [at, label] of x.ticks) {
      plot.append(svg("line", { x1: x.at(at), x2: x.at(at), y1: area.top, y2: area.bottom }));
      plot.append(svg("text", { x: x.at(at), y: area.bottom + 18, "text-anchor": "middle" }, label));
    }
    for (const [at, label] of y.ticks) {
      plot.append(svg("line", { x1: area.left, x2: area.right, y1: y.at(at), y2: y.at(at) }));
      plot.append(svg("text", { x: area.left - 8, y: y.at(at) + 4, "text-anchor": "end" }, label));
    }
    plot.append(svg("text", { x: (area.left + area.right) / 2, y: 472, "text-anchor": "middle" }, xName));
    plot.append(svg("text", { transform: `translate(16 ${(area.top + area.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yName));
    for (const point of points) {
      const label = `${point.method.name}, ${point.picture}: ${xName} ${number(point.x)}, ${yName} ${number(point.y)}`;
      const circle = svg("circle", {
        cx: x.at(point.x), cy: y.at(point.y), r: point.method.ours ? 5 : 3.5, fill: point.method.colour,
        tabindex: 0, role: "button", "aria-label": label, "data-picture": point.picture, "data-method": point.method.name,
      });
      circle.append(svg("title", {}, label));
      plot.append(circle);
    }
    for (const method of data.methods) {
      const own = points.filter((point) => point.method === method);
      if (!own.length) continue;
      const mean = (key) => own.reduce((sum, point) => sum + point[key], 0) / own.length;
      plot.append(svg("path", { class: "mean", fill: method.colour, d: "M0-8L8 0L0 8L-8 0Z", transform: `translate(${x.at(mean("x"))} ${y.at(mean("y"))})` }));
    }
  }
  const pointOf = (event) => event.target.closest("circle")?.dataset.picture;
  plot.addEventListener("click", (event) => { if (pointOf(event)) open(pointOf(event)); });
  plot.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && pointOf(event)) { event.preventDefault(); open(pointOf(event)); }
  });
  plot.addEventListener("mouseover", (event) => {
    const picture = pointOf(event);
    for (const circle of plot.querySelectorAll("circle")) circle.classList.toggle("same", circle.dataset.picture === picture);
  });
  for (const method of data.methods) {
    const box = create("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      if (box.checked) hiddenMethods.delete(method.name); else hiddenMethods.add(method.name);
      drawScatter();
    });
    const dot = create("i", { className: "dot" });
    dot.style.background = method.colour;
    byId("legend").append(create("label", {}, box, " ", dot, method.name));
  }
  byId("x-metric").addEventListener("change", drawScatter);
  byId("y-metric").addEventListener("change", drawScatter);

  // --- table per picture ----------------------------------------------------------------------------------------

  function drawScores() {
    const method = byId("scores-method").value;
    const table = byId("scores-table");
    const heading = (text, direction) => {
      const th = create("th", { scope: "col" }, create("button", { type: "button", textContent: text }));
      if (direction !== undefined) th.dataset.higher = direction;
      return th;
    };
    table.tHead.replaceChildren(create("tr", {}, heading("picture"), ...data.metrics.map(({ name }) => heading(name, higher[name]))));
    table.tBodies[0].replaceChildren(...data.pictures.filter((picture) => data.scores[method]?.[picture]).map((picture) => {
      const name = create("th", { scope: "row", textContent: picture });
      name.dataset.value = picture;
      const cells = data.metrics.map((metric) => {
        const score = value(method, picture, metric.name);
        const cell = create("td", { textContent: number(score) });
        cell.dataset.value = score ?? "";
        return cell;
      });
      const row = create("tr", {}, name, ...cells);
      row.addEventListener("click", () => open(picture));
      return row;
    }));
  }
  byId("scores-method").addEventListener("change", drawScores);

  // --- order of the sheets --------------------------------------------------------------------------------------

  function orderSheets() {
    const [metric, method] = [byId("order-metric").value, byId("order-method").value];
    const wanted = byId("filter").value.toLowerCase();
    const list = [...sheets.values()];
    const better = higher[metric] === byId("best-first").checked ? -1 : 1;
    list.sort((a, b) => {
      if (metric === "name") return a.dataset.name.localeCompare(b.dataset.name);
      const [x, y] = [a, b].map((sheet) => value(method, sheet.dataset.name, metric));
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return better * (x - y);
    });
    for (const sheet of list) sheet.hidden = !sheet.dataset.name.toLowerCase().includes(wanted);
    byId("sheet-list").append(...list);
  }
  for (const id of ["order-metric", "order-method", "best-first"]) byId(id).addEventListener("change", orderSheets);
  byId("filter").addEventListener("input", orderSheets);
  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());

  drawScatter();
  drawScores();
})();
