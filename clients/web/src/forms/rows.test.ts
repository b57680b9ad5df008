import { describe, expect, it } from "vitest";

import type { KnobSchema } from "../api/types";
import { rowsOf } from "./rows";

const schema: KnobSchema = {
  properties: {
    steps: { type: "integer", default: 20, "x-ui": { group: "Sampling" } },
    eta: { type: "number", default: 0, "x-ui": { advanced: true } },
    hires: { properties: { scale: { type: "number", default: 2 }, mode: { type: "string" } } },
    tone: { type: "string", "x-ui": { depends: { steps: 5 } } },
  },
};
const labels = (params: Record<string, unknown>) => rowsOf(schema, params).map(({ label }) => label);

describe("the rows of a node", () => {
  it("are its plain knobs, whatever heading they stand under", () => {
    expect(labels({})).toEqual(["Steps"]);
  });
  it("are those that were changed too, in groups as well", () => {
    expect(labels({ eta: 1, hires: { scale: 3 } })).toEqual(["Steps", "Eta", "Hires · Scale"]);
    const [, , scale] = rowsOf(schema, { eta: 1, hires: { scale: 3 } });
    expect(scale).toMatchObject({ path: ["hires", "scale"], isChanged: true });
  });
  it("appear with the knob that they depend on", () => {
    expect(labels({ steps: 5 })).toEqual(["Steps", "Tone"]);
  });
});
