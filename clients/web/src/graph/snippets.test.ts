import { describe, expect, it } from "vitest";

import { pythonOf, snippets } from "./snippets";

describe("snippets", () => {
  const document = {
    version: 1 as const,
    jobs: {
      a: {
        job: "x.y",
        inputs: { prompt: "it's" },
        params: { on: true, none: null, list: [1, 2.5], empty: {} },
      },
    },
    ui: { positions: {} },
  };
  it("are a program with Python's own words", () => {
    expect(snippets(document, "http://here").python).toContain('Client("http://here")');
    expect(pythonOf({ on: true, none: null, empty: [] })).toBe(
      '{\n    "on": True,\n    "none": None,\n    "empty": [],\n}',
    );
  });
  it("are a command with every quote in its place and no layout", () => {
    const { curl } = snippets(document, "http://here");
    expect(curl).toContain("it'\\''s");
    expect(curl).not.toContain("positions");
  });
});
