import { describe, expect, it } from "vitest";

import { nextCell } from "./Grid";

describe("the keys of the grid", () => {
  it("lead to a neighbour, a page or an end, and never out of it", () => {
    const to = (key: string, at = 7) => nextCell(key, at, 3, 20);
    expect(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => to(key))).toEqual([6, 8, 4, 10]);
    expect([to("Home"), to("End"), to("PageDown"), to("PageUp")]).toEqual([0, 19, 19, 0]);
    expect([to("ArrowLeft", 0), to("ArrowDown", 19)]).toEqual([0, 19]);
    expect(to("a")).toBeNull();
  });
});
