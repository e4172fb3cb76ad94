// On a narrow screen the menu scrolls sideways: the page one is on comes into sight.

document
  .querySelector(".side nav [aria-current]")
  ?.scrollIntoView({ inline: "center", block: "nearest" });
