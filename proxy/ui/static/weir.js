// Everything works without this file but for what moves by itself. It writes text only as text: no markup is ever made of what
// a page has, except for parts that Weir itself has rendered and escaped.
"use strict";

const language = document.documentElement.lang;

function localTimes(root) {
  const own = navigator.languages.find((one) => one.startsWith(language)) || language;
  const form = new Intl.DateTimeFormat(own, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
  for (const time of root.querySelectorAll("time[data-local]")) {
    time.title = time.textContent;
    time.textContent = form.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }
}

async function fragment(url) {
  const answer = await fetch(url, { headers: { "x-fragment": "1" }, credentials: "same-origin" });
  if (answer.redirected) location.reload(); // signed out meanwhile
  if (!answer.ok) throw new Error(String(answer.status));
  const held = document.createElement("template");
  held.innerHTML = answer.status === 204 ? "" : await answer.text();
  localTimes(held.content);
  return { answer, content: held.content };
}

// -- the list goes on by itself. Rows are put on top and nothing else is touched, so that focus and selection stay.
function live(body, button) {
  const news = document.getElementById("news");
  const most = 200;
  let last = body.dataset.last, unsaid = 0, said = 0, lost = false;

  function tell(text) { news.textContent = text; said = Date.now(); }

  async function look() {
    if (document.hidden || button.getAttribute("aria-pressed") !== "true") return;
    const url = body.dataset.rows + (body.dataset.rows.includes("?") ? "&" : "?") + "after=" + last;
    try {
      const { answer, content } = await fragment(url);
      lost = false;
      if (answer.status === 204) return;
      last = answer.headers.get("x-weir-last");
      unsaid += Number(answer.headers.get("x-weir-count"));
      for (const row of content.querySelectorAll("tr")) row.classList.add("new");
      const above = document.scrollingElement.scrollTop, tall = document.body.scrollHeight;
      body.prepend(content);
      document.getElementById("none").hidden = true;
      while (body.rows.length > most && !body.rows[body.rows.length - 1].contains(document.activeElement)) body.deleteRow(-1);
      if (above > body.getBoundingClientRect().top + above) document.scrollingElement.scrollTop = above + document.body.scrollHeight - tall;
    } catch (problem) {
      if (!lost) tell(news.dataset.lost);
      lost = true;
    }
    // A busy Weir must not talk all the time.
    if (unsaid && Date.now() - said > 5000) { tell(news.dataset.text.replace("{n}", unsaid)); unsaid = 0; }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    button.querySelector(".text").textContent = on ? button.dataset.on : button.dataset.off;
    if (on) look();
  });
  (async function again() { await look(); setTimeout(again, 2000); })();
}

// -- parts that are fetched when they are asked for, or until they are done
function loading(link) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    link.setAttribute("aria-busy", "true");
    try {
      const { content } = await fragment(link.href);
      link.parentElement.replaceChildren(content);
    } catch (problem) {
      location.href = link.href;
    }
  });
}

function waiting(place) {
  const running = place.querySelector("[data-again]");
  if (!running) return;
  setTimeout(async () => {
    try { place.replaceChildren((await fragment(running.dataset.again)).content); } catch (problem) { /* the next try tells */ }
    waiting(place);
  }, 700);
}

// -- thresholds: what would change is said at once; the server says it again when it is asked
const order = ["pass", "flag", "redact", "block"];

function sliding(verdict) {
  const names = document.getElementById("play").dataset;
  const moved = document.getElementById("moved");
  const shown = verdict.querySelector("[data-action]");
  let timer;
  for (const slider of verdict.querySelectorAll("input[data-threshold]")) {
    slider.addEventListener("input", () => {
      const threshold = Number(slider.value);
      slider.nextElementSibling.value = slider.value;
      for (const rule of verdict.querySelectorAll("li[data-rule]")) {
        if (rule.dataset.name !== slider.dataset.threshold || rule.dataset.score === undefined) continue;
        const over = Number(rule.dataset.score) >= threshold;
        rule.dataset.spoke = over ? "1" : "0";
        rule.classList.toggle("spoke", over);
        const line = rule.querySelector(".limit");
        for (const end of ["x1", "x2"]) line.setAttribute(end, String(threshold * 140));
        rule.querySelector(".bar").classList.toggle("over", over);
      }
      const spoken = [...verdict.querySelectorAll('li[data-spoke="1"][data-enforced="1"]')].map((one) => one.dataset.does);
      const action = spoken.reduce((worst, one) => (order.indexOf(one) > order.indexOf(worst) ? one : worst), "pass");
      const badge = document.createElement("span");
      badge.className = "badge " + action;
      badge.textContent = names[action];
      shown.replaceChildren(badge);
      clearTimeout(timer);
      timer = setTimeout(() => { moved.textContent = moved.dataset.text.replace("{action}", names[action]); }, 600);
    });
  }
}

localTimes(document);
const rows = document.querySelector("tbody[data-rows]");
if (rows) live(rows, document.getElementById("live"));
document.querySelectorAll("a[data-load]").forEach(loading);
document.querySelectorAll("[data-verdict]").forEach(sliding);
const tests = document.getElementById("tests");
if (tests) waiting(tests);
