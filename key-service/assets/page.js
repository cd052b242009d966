// Copies, selects what is focused, and warns of leaving a value that was not stored. Pages work without it.
"use strict";

document.documentElement.classList.add("has-script");

let isStored = false;

document.addEventListener("focusin", ({ target }) => {
  if (target.matches("[data-select]")) target.select();
});

document.addEventListener("click", async ({ target }) => {
  if (target.closest("[data-stored]")) isStored = true;
  const button = target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const hasCopied = await copy(source.value ?? source.textContent);
  if (hasCopied) isStored = true;
  // Emptied first: a text that stays the same is not announced again.
  const said = document.getElementById("copied");
  said.textContent = "";
  setTimeout(() => (said.textContent = hasCopied ? "Copied" : "Select the text and copy it by hand"), 50);
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// The value cannot be seen again: browsers ask whether to leave.
addEventListener("beforeunload", (event) => {
  if (document.getElementById("key-value") && !isStored) event.preventDefault();
});
