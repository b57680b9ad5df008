import { describe, expect, it } from "vitest";

import { WHOLE, midpoint, zoomed } from "./zoom";

describe("zooming", () => {
  it("keeps the point below the pointer where it is", () => {
    const view = zoomed(WHOLE, 2, 100, -50);
    expect(view).toEqual({ scale: 2, x: -100, y: 50 });
    const where = (100 - view.x) / view.scale;
    const further = zoomed(view, 1.5, 100, -50);
    expect((100 - further.x) / further.scale).toBeCloseTo(where);
  });
  it("ends at the whole picture and at sixteen times", () => {
    expect(zoomed({ scale: 2, x: 30, y: 30 }, 0.1, 5, 5)).toBe(WHOLE);
    expect(zoomed(WHOLE, 100, 0, 0).scale).toBe(16);
  });
  it("follows two fingers", () => {
    const at = (clientX: number) => ({ clientX, clientY: 10 });
    expect(midpoint(at(100), at(200), at(0))).toEqual({ factor: 2, x: 100, y: 10 });
  });
});
