import { describe, expect, it } from "vitest";

import type { Signature } from "./types";
import { countersOf } from "./work";

describe("countersOf", () => {
  it("finds the jobs that count ports, knobs and knobs in groups", () => {
    const hint = (job: string) => ({ "x-ui": { counter: { job, params: {} } } });
    const signatures = [
      { inputs: [hint("a.words"), {}], params: {} },
      {
        inputs: [],
        params: {
          properties: { text: hint("a.lines") },
          $defs: { Group: { properties: { b: hint("b.c") } } },
        },
      },
    ] as unknown as Signature[];
    expect([...countersOf(signatures)].sort()).toEqual(["a.lines", "a.words", "b.c"]);
  });
});
