// What a person with poor sight, a keyboard or a screen reader would stumble over. Answers a list of problems.
() => {
  const problems = [];
  const parse = (colour) => {
    const canvas = (window.__canvas ||= document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.unshift(parse(getComputedStyle(one).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const held = node.parentElement;
    if (!node.textContent.trim() || !held.checkVisibility() || held.closest(".sr, .skip, option, datalist, script")) continue;
    const style = getComputedStyle(held);
    const inDrawing = held.closest("svg");
    const back = ground(inDrawing || held);
    const front = over(parse(inDrawing ? style.fill : style.color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) problems.push(`contrast ${contrast.toFixed(2)} of "${node.textContent.trim().slice(0, 30)}"`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) problems.push(`id ${id} twice`);
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!one.labels.length && !one.getAttribute("aria-label")) problems.push(`no label: ${one.name}`);
  }
  for (const one of document.querySelectorAll("a, button")) {
    const name = one.getAttribute("aria-label") || one.textContent;
    if (one.checkVisibility() && !name.trim()) problems.push(`no name: ${one.outerHTML.slice(0, 60)}`);
  }
  for (const one of document.querySelectorAll("svg")) {
    if (one.getAttribute("aria-hidden") !== "true" && !one.getAttribute("aria-label")) problems.push("a drawing without words");
  }
  for (const one of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    for (const id of (one.getAttribute("aria-labelledby") || one.getAttribute("aria-describedby")).split(" ")) {
      if (!document.getElementById(id)) problems.push(`points to nothing: ${id}`);
    }
  }
  for (const one of document.querySelectorAll("thead th")) if (!one.scope) problems.push("a header of nothing");
  const heads = [...document.querySelectorAll("h1, h2, h3, h4")].map((one) => Number(one.tagName[1]));
  if (heads.filter((level) => level === 1).length !== 1) problems.push("not one h1");
  heads.forEach((level, at) => { if (at && level > heads[at - 1] + 1) problems.push(`h${level} after h${heads[at - 1]}`); });
  if (document.querySelectorAll("main").length !== 1 || !document.querySelector("header")) problems.push("landmarks");
  if (!document.documentElement.lang) problems.push("no language");
  if (document.documentElement.scrollWidth > innerWidth + 1) problems.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  return problems;
}
