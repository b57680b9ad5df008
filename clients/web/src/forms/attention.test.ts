import { describe, expect, it } from "vitest";

import { changeAttention } from "./attention";

const change = (text: string, selected: string, direction: 1 | -1) => {
  const start = text.indexOf(selected);
  return changeAttention({ text, start, end: start + selected.length }, direction);
};

describe("changeAttention", () => {
  it("gives a selection a weight", () => {
    expect(change("a red circle", "red", 1)).toEqual({ text: "a (red:1.1) circle", start: 3, end: 6 });
  });
  it("changes the weight of a selection that has one, and takes it away at 1", () => {
    expect(change("a (red:1.1) circle", "red", 1).text).toBe("a (red:1.2) circle");
    expect(change("a (red:1.1) circle", "red", -1).text).toBe("a red circle");
    expect(change("a (red:1.1) circle", "(red:1.1)", 1).text).toBe("a (red:1.2) circle");
  });
  it("takes the word around the cursor", () => {
    expect(changeAttention({ text: "a red circle", start: 4, end: 4 }, -1).text).toBe("a (red:0.9) circle");
  });
  it("does nothing on white space", () => {
    expect(changeAttention({ text: "  ", start: 1, end: 1 }, 1).text).toBe("  ");
  });
});
