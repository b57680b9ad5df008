import { describe, expect, it } from "vitest";

import type { KnobSchema } from "../api/types";
import { arrange, canonical, changed, inlined, isShown, wholeRows } from "./schema";

const schema: KnobSchema = {
  $defs: { Hires: { type: "object", properties: { scale: { type: "number", default: 2 } } } },
  type: "object",
  properties: {
    steps: { type: "integer", default: 20, "x-ui": { group: "Sampling" } },
    eta: {
      anyOf: [{ type: "number", minimum: 0 }, { type: "null" }],
      default: null,
      "x-ui": { advanced: true },
    },
    hires: { $ref: "#/$defs/Hires", default: { scale: 2 } },
    seed: { type: "integer", default: -1, "x-ui": { group: "Sampling" } },
    width: { type: "integer", default: 0, "x-ui": { depends: { steps: 5 } } },
  },
};

describe("schema", () => {
  it("puts definitions in place of references", () => {
    expect(inlined(schema).properties?.["hires"]?.properties?.["scale"]?.default).toBe(2);
  });
  it("takes an optional value as one field", () => {
    expect(inlined(schema).properties?.["eta"]).toMatchObject({ type: ["number", "null"], minimum: 0 });
  });
  it("arranges knobs by group, advanced ones and nested groups apart", () => {
    expect(arrange(inlined(schema))).toEqual({
      groups: [
        { title: "Sampling", names: ["steps", "seed"] },
        { title: "", names: ["width"] },
      ],
      advanced: ["eta"],
      nested: ["hires"],
    });
  });
  it("keeps only what differs from the defaults, in groups too", () => {
    const values = { steps: 20, seed: 7, hires: { scale: 2 } };
    expect(changed(values, inlined(schema))).toEqual({ seed: 7 });
    expect(changed({ hires: { scale: 3 } }, inlined(schema))).toEqual({ hires: { scale: 3 } });
  });
  it("shows a knob that depends on another only with that value", () => {
    const width = inlined(schema).properties?.["width"] ?? {};
    expect(isShown(width, {}, schema)).toBe(false);
    expect(isShown(width, { steps: 5 }, schema)).toBe(true);
  });
});

describe("canonical", () => {
  it("is the same whatever the order of the names", () => {
    expect(canonical({ b: [{ d: 1, c: 2 }], a: null })).toBe(canonical({ a: null, b: [{ c: 2, d: 1 }] }));
    expect(canonical([1, 2])).not.toBe(canonical([2, 1]));
  });
});

it("leaves no hole beside a knob", () => {
  const [half, whole] = [false, true];
  expect(wholeRows([half, half, half])).toEqual([half, half, whole]);
  expect(wholeRows([half, whole, half, half])).toEqual([whole, whole, half, half]);
  expect(wholeRows([half])).toEqual([whole]);
  expect(wholeRows([half, half, whole, half])).toEqual([half, half, whole, whole]);
});
