import { expect, it } from "vitest";

import type { Signature } from "../api/types";
import { targetsOf } from "./targets";

const signature = (name: string, inputs: Record<string, string>): Signature =>
  ({
    name,
    inputs: Object.entries(inputs).map(([port, type]) => ({ name: port, type })),
  }) as unknown as Signature;

it("offers the ports of the plugin that made a result first, and those of its very type before others", () => {
  const signatures = [
    signature("a.blur", { image: "image", mask: "mask" }),
    signature("p.change", { mask: "mask", image: "image", prompt: "text" }),
    signature("p.say", { prompt: "text" }),
  ];
  const found = targetsOf(signatures, "image", "p.make").map(({ signature: { name }, port }) => [
    name,
    port.name,
  ]);
  expect(found).toEqual([
    ["p.change", "image"],
    ["p.change", "mask"],
    ["a.blur", "image"],
    ["a.blur", "mask"],
  ]);
});
