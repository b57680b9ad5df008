import { describe, expect, it } from "vitest";

import type { Signature } from "../api/types";
import { countOf, countRequest } from "./counting";

const counting = {
  inputs: [{ name: "text" }],
  params: { properties: { negative: {}, steps: {} } },
} as unknown as Signature;

describe("counting", () => {
  it("sends the knobs that the counting job has too, and what the hint says", () => {
    const counter = { job: "a.count", params: { negative: true } };
    expect(countRequest(counter, counting, "a cat", { steps: 9, width: 64, negative: false })).toEqual({
      job: "a.count",
      inputs: { text: "a cat" },
      params: { steps: 9, negative: true },
    });
  });
  it("reads the answer, whatever else it holds", () => {
    expect(countOf({ tokens: 3, limit: 75, cut: "", notes: ["Well."], chunks: [] })).toEqual({
      tokens: 3,
      limit: 75,
      notes: ["Well."],
    });
    expect(countOf({ tokens: 80, cut: "cat" })).toEqual({ tokens: 80, cut: "cat", notes: [] });
    expect(countOf("three")).toBeNull();
  });
});
