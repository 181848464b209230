// Draws the page anew every three seconds without losing what is open or where one reads. Without
// JavaScript the page reloads itself instead.
"use strict";
const main = document.querySelector("main");
const lost = document.querySelector(".lost");
async function look() {
  if (document.hidden || getSelection().toString()) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    for (const open of main.querySelectorAll("details[open][id]")) {
      next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    if (next.innerHTML !== main.innerHTML) main.innerHTML = next.innerHTML;
    lost.textContent = "";
  } catch (error) {
    lost.textContent ||= `no answer since ${new Date().toLocaleTimeString()}: what is below is old`;
  }
}
setInterval(look, 3000);
