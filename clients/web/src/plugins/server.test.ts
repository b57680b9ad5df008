import { describe, expect, it } from "vitest";

import { type Plugin, type Worker, missingFrom, sizeOf, stateOf } from "./server";

const plugin = (more: Partial<Plugin> = {}): Plugin =>
  ({ name: "p", error: null, installed: true, signatures: ["p.j"], ...more }) as Plugin;
const worker = (state: Worker["state"]): Worker => ({ plugin: "p", state }) as Worker;

describe("plugins", () => {
  it("say how they are doing", () => {
    expect(stateOf(plugin(), [])).toBe("ready");
    expect(stateOf(plugin({ installed: false }), [])).toBe("installs at first use");
    expect(stateOf(plugin({ signatures: [], installed: false }), [])).toBe("being set up");
    expect(stateOf(plugin(), [worker("idle")])).toBe("loaded");
    expect(stateOf(plugin(), [worker("idle"), worker("busy")])).toBe("working");
    expect(
      stateOf(plugin({ error: { code: "", message: "no", hint: "", traceback: "" } }), [worker("busy")]),
    ).toBe("broken");
  });
  it("are compared with the signatures that are known", () => {
    const plugins = [plugin({ signatures: ["p.a", "p.b"] }), plugin({ signatures: [] })];
    expect(missingFrom([{ name: "p.a" }, { name: "q.c" }], plugins)).toEqual(["p.b"]);
  });
  it("have sizes that can be read", () => {
    expect([0, 900, 2048, 1.5 * 2 ** 20, 700 * 2 ** 20, 5.25 * 2 ** 30].map(sizeOf)).toEqual([
      "0 B",
      "900 B",
      "2.0 KiB",
      "1.5 MiB",
      "700 MiB",
      "5.3 GiB",
    ]);
  });
});
