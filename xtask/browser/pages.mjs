// Opens pages in a real browser, as a reader does, and says what is wrong with them.
//
//   node pages.mjs MODULES CHROMIUM DIRECTORY [PICTURES]
//
// MODULES is where playwright-core and axe-core are installed, DIRECTORY holds the pages (*.html). Prints a finding a line,
// and as the last line how much was looked at. With PICTURES, pictures of each page go there.

import { readFileSync, readdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, executablePath, directory, pictures] = process.argv.slice(2);
const installed = createRequire(join(resolve(modules), "package.json"));
const { chromium } = installed("playwright-core");
const axe = readFileSync(installed.resolve("axe-core/axe.min.js"), "utf8");

const SIZES = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 900 } };
const profile = mkdtempSync(join(tmpdir(), "exuvia-pages-"));
const findings = [];
let looks = 0;

const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
try {
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".html")).sort()) {
    const url = pathToFileURL(join(resolve(directory), file)).href;
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        await look(file, url, size, viewport, colorScheme);
      }
    }
  }
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
for (const finding of findings) console.log(finding);
console.log(`${looks} looks, ${findings.length} findings`);
process.exitCode = findings.length > 0 || looks === 0 ? 1 : 0;

async function look(file, url, size, viewport, colorScheme) {
  const page = await browser.newPage();
  const wrong = (what) => findings.push(`${file} (${size}, ${colorScheme}): ${what}`);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong(`error: ${error.message}`));
  page.on("dialog", (dialog) => { wrong("a dialog was opened"); dialog.dismiss(); });
  page.on("request", (request) => request.url() !== url && !request.url().startsWith("data:") && wrong(`request: ${request.url()}`));
  await page.setViewportSize(viewport);
  await page.emulateMedia({ colorScheme });
  await page.goto(url, { waitUntil: "load" });
  looks += 1;

  const seen = await page.evaluate(() => ({
    title: document.title,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    policy: document.querySelector('meta[http-equiv="Content-Security-Policy"]')?.content ?? "",
    strange: [...document.querySelectorAll("script, img, iframe, object, embed, form, input, video, audio, base")].map((one) => one.outerHTML.slice(0, 80)),
    handlers: [...document.querySelectorAll("*")].filter((one) => [...one.attributes].some(({ name }) => name.startsWith("on"))).length,
    links: [...document.querySelectorAll("a")].map((one) => one.href).filter((href) => !/^(https|file):/.test(href)),
    styles: document.querySelectorAll("style").length,
    text: document.body.innerText.length,
  }));
  if (seen.title.includes("owned")) wrong("a script ran");
  if (seen.wide > 0) wrong(`it is ${seen.wide} px wider than the window`);
  if (!seen.policy.startsWith("default-src 'none'")) wrong(`its policy is "${seen.policy}"`);
  if (seen.strange.length) wrong(`elements that no page has: ${seen.strange}`);
  if (seen.handlers) wrong(`${seen.handlers} elements with event handlers`);
  if (seen.links.length) wrong(`links elsewhere: ${seen.links}`);
  if (seen.styles !== 1) wrong(`${seen.styles} style elements`);
  if (seen.text < 100) wrong("there is next to nothing to read");

  // By the keyboard alone: each link, and whatever else takes the focus, is reached in order and is seen to be.
  const wanted = await page.evaluate(() =>
    [...document.querySelectorAll("a[href], summary, [tabindex='0']")].filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length);
  const reached = new Set();
  for (let step = 0; step < Math.min(wanted, 60); step += 1) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => {
      const one = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      const all = [...document.querySelectorAll("*")];
      return { at: all.indexOf(one), seen: outlineStyle !== "none" && parseFloat(outlineWidth) > 0, what: one.outerHTML.slice(0, 80) };
    });
    reached.add(focus.at);
    if (!focus.seen) wrong(`the focus is not seen on ${focus.what}`);
  }
  if (reached.size < Math.min(wanted, 60)) wrong(`the keyboard reaches ${reached.size} of ${wanted}`);

  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const violation of violations) {
    for (const node of violation.nodes.slice(0, 3)) wrong(`${violation.id}: ${node.html.slice(0, 100)}: ${node.failureSummary.replace(/\s+/g, " ").slice(0, 300)}`);
  }
  if (pictures) {
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: join(pictures, `${file.replace(".html", "")}-${size}-${colorScheme}.png`), fullPage: true });
  }
  await page.close();
}
